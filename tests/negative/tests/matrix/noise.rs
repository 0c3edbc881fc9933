//! NT-12, NT-25, NT-44: bytes that mean nothing, and connections that say nothing. Everybody else is served beside them.

use std::io::{Read, Write};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use safeconduct_negative::runner::Test;
use safeconduct_negative::{Dice, House, STACKS, host, rounds, tests};

pub(crate) const TESTS: &[Test] = tests![
    nt_44_nt_25_noise_is_refused_and_everybody_else_is_served,
    nt_12_half_open_connections_do_not_keep_others_out,
];

fn nt_44_nt_25_noise_is_refused_and_everybody_else_is_served(house: &House) -> Result<()> {
    let mut dice = Dice::search(44);
    for round in 0..rounds(120) {
        let many = 1 + dice.below(600);
        let noise: Vec<u8> = (0..many).map(|_| u8::try_from(dice.below(256)).unwrap_or(0)).collect();
        let bytes = match round % 4 {
            // Noise alone, noise behind a right beginning, noise in a field, noise in a body.
            0 => noise,
            1 => [b"GET /".to_vec(), noise].concat(),
            2 => [house.get("raw", "/noise", "").trim_end().as_bytes().to_vec(), b"\r\nx-noise: ".to_vec(), noise]
                .concat(),
            _ => {
                let head = format!(
                    "POST /noise HTTP/1.1\r\nhost: {}\r\n{}transfer-encoding: chunked\r\n\r\n",
                    host("raw"),
                    house.ada("raw")
                );
                [head.into_bytes(), noise].concat()
            }
        };
        let mut visit = house.open("raw")?;
        let _ = visit.send([&bytes[..], b"\r\n\r\n"].concat());
        let heard = visit.listen_for(Duration::from_millis(250));
        ensure!(heard.statuses().iter().all(|s| *s != 200 && *s < 500), "{}: {heard:?}", bytes.escape_ascii());
    }
    // Documents for machines, ill-formed.
    for (target, kind) in [
        ("/api/v1/posture", "application/jwt"),
        ("/sign-in/passkey/begin", "application/json"),
        ("/sign-in/passkey/finish", "application/json"),
        ("/device/challenge", "application/json"),
        ("/device/prove", "application/json"),
    ] {
        for body in [
            "",
            "null",
            "{",
            "[]",
            "{\"a\":",
            "\"\"",
            "{\"ceremony\":null}",
            "{\"ceremony\":\"x\",\"ceremony\":\"y\",\"credential\":{}}",
            "eyJhbGciOiJub25lIn0..",
            "a.b.c",
            "{\"name\":1e999}",
            "\u{0}",
        ] {
            let portal = host("portal");
            let raw = format!(
                "POST {target} HTTP/1.1\r\nhost: {portal}\r\norigin: https://{portal}:{}\r\nsec-fetch-site: same-origin\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                house.door.port,
                body.len()
            );
            let heard = house.say("portal", raw)?.0;
            ensure!((400..500).contains(&heard.status()), "{target} with {body:?}: {heard:?}");
        }
    }
    // Noise where a handshake should be.
    for _ in 0..20 {
        let mut stream = house.door.tcp(house.door.address())?;
        let noise: Vec<u8> = (0..200).map(|_| u8::try_from(dice.below(256)).unwrap_or(0)).collect();
        let _ = stream.write_all(&noise);
    }
    let (heard, _) = house.say("raw", house.get("raw", "/after-noise", ""))?;
    ensure!(heard.status() == 200, "{heard:?}");
    Ok(())
}

fn nt_12_half_open_connections_do_not_keep_others_out(house: &House) -> Result<()> {
    let mut open = Vec::new();
    for n in 0..400_u16 {
        let mut stream = house.door.tcp(house.door.address())?;
        // Some say nothing, some half of a greeting.
        if n % 2 == 0 {
            let _ = stream.write_all(&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc]);
        }
        open.push(stream);
    }
    for stack in STACKS {
        let (heard, _) = house.say(stack, house.get(stack, "/beside-half-open", ""))?;
        ensure!(heard.status() == 200, "{stack}: {heard:?}");
    }
    // Each of them is closed by its clock (ten seconds) and not by us.
    let first = open.first_mut().context("there are some")?;
    first.set_read_timeout(Some(Duration::from_secs(20)))?;
    let mut space = [0; 64];
    let ended = loop {
        match first.read(&mut space) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(error) => break error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    };
    ensure!(ended, "a handshake may take for ever");
    Ok(())
}
