use super::in_steps as read;
use super::*;
use proptest::prelude::*;

/// A frame of a client.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame_head(first, payload.len(), &mut out);
    out[1] |= 0x80;
    let mask = [0x11, 0x22, 0x33, 0x44];
    out.extend(mask);
    out.extend(payload.iter().enumerate().map(|(i, b)| b ^ mask[i % 4]));
    out
}

#[test]
fn the_bytes_of_messages_are_the_bytes_of_the_tunnel() {
    let long = vec![7; 70_000];
    let stream = [
        frame(0x82, b"abc"),
        frame(0x02, b"de"),
        frame(0x89, b"alive?"),
        frame(0x00, b""),
        frame(0x80, b"f"),
        frame(0x82, &long),
        frame(0x82, b""),
        frame(0x8a, b""),
        frame(0x88, b"\x03\xe8bye"),
    ]
    .concat();
    for step in [1, 2, 7, 1_000, 1_000_000] {
        let (data, others) = read(&stream, step).expect("frames");
        assert_eq!((&data[..6], data.len()), (&b"abcdef"[..], 70_006));
        assert_eq!(others, [Piece::Ping(b"alive?".to_vec()), Piece::End, Piece::Pong, Piece::Close(Some(1000))]);
    }
}

#[test]
fn an_empty_message_in_parts_is_an_end_too_and_an_empty_part_is_not() {
    assert_eq!(read(&[frame(0x02, b""), frame(0x80, b"")].concat(), 9).map(|r| r.1), Ok(vec![Piece::End]));
    let stream = [frame(0x02, b"x"), frame(0x80, b""), frame(0x82, b"y")].concat();
    assert_eq!(read(&stream, 9), Ok((b"xy".to_vec(), vec![])));
}

#[test]
fn what_is_no_frame_of_a_tunnel_is_refused() {
    let mut unmasked = Vec::new();
    message(3, &mut unmasked);
    unmasked.extend(b"abc");
    for (what, stream, error) in [
        ("text", frame(0x81, b"hi"), FrameError::Kind),
        ("an unknown kind", frame(0x83, b""), FrameError::Kind),
        ("compression", frame(0xc2, b"x"), FrameError::Reserved),
        ("no mask", unmasked, FrameError::NoMask),
        ("a ping in parts", frame(0x09, b""), FrameError::Control),
        ("a long ping", frame(0x89, &[0; 126]), FrameError::Control),
        ("a close of one byte", frame(0x88, b"x"), FrameError::Control),
        ("a length that is too long", vec![0x82, 0xfe, 0, 5, 0, 0, 0, 0], FrameError::Length),
        ("one more", vec![0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0], FrameError::Length),
        ("a length beyond all", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], FrameError::Length),
        ("a part of nothing", frame(0x80, b"x"), FrameError::Order),
        ("a message in a message", [frame(0x02, b"x"), frame(0x82, b"y")].concat(), FrameError::Order),
        ("bytes after the end", [frame(0x82, b""), frame(0x82, b"y")].concat(), FrameError::Order),
        ("anything after a close", [frame(0x88, b""), frame(0x8a, b"")].concat(), FrameError::Order),
    ] {
        for step in [1, 1_000] {
            assert_eq!(read(&stream, step), Err(error), "{what}");
        }
    }
}

#[test]
fn our_frames_have_the_shortest_length() {
    let length = |n| {
        let mut out = Vec::new();
        message(n, &mut out);
        out.len()
    };
    assert_eq!([0, 125, 126, 65_535, 65_536].map(length), [2, 2, 4, 4, 10]);
    let mut out = Vec::new();
    close(1008, "access ended", &mut out);
    assert_eq!(out, b"\x88\x0e\x03\xf0access ended");
    out.clear();
    close(1008, &"x".repeat(500), &mut out);
    assert_eq!(out.len(), 2 + CONTROL_BYTES);
}

proptest! {
    /// However a stream is cut into frames and reads, its bytes are the same.
    #[test]
    fn what_goes_in_comes_out(
        parts in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 1..300), any::<bool>()), 0..20),
        step in 1_usize..400,
    ) {
        let (mut stream, mut inside) = (Vec::new(), false);
        for (payload, last) in &parts {
            let kind = if inside { 0 } else { 2 };
            stream.extend(frame(if *last { 0x80 | kind } else { kind }, payload));
            inside = !last;
        }
        let bytes: Vec<u8> = parts.iter().flat_map(|(p, _)| p.clone()).collect();
        prop_assert_eq!(read(&stream, step), Ok((bytes, vec![])));
    }

    #[test]
    fn any_bytes_are_answered_alike_however_they_arrive(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let whole = read(&bytes, 1_000);
        let single = read(&bytes, 1);
        prop_assert_eq!(whole.is_ok(), single.is_ok());
        if let (Ok(a), Ok(b)) = (whole, single) {
            prop_assert_eq!(a, b);
        }
    }
}
