//! A person lets a machine or a program in, or not.

use safeconduct_access::Visitor;
use safeconduct_authn::code_grant::Request;
use safeconduct_authn::device_grant::Machine as Asking;
use safeconduct_console::Trouble;
use safeconduct_console::view::{Machine, MachineAsked, Outcome};

use crate::house::House;
use crate::rooms::sign_in::{again, go};
use crate::rooms::{client_ip, not_found, refused, settled, unavailable, unkept};
use crate::sign_in::encode;

/// What is known of the machine that asks.
pub(crate) fn look(house: &House, by: &Visitor, asked: &MachineAsked) -> Result<Machine, Trouble> {
    let until = by.auth.until;
    match asked {
        MachineAsked::Code(code) => {
            let found = house.machine_waiting(&by.person, code).map_err(refused)?;
            let (_, machine, since) = found.ok_or_else(not_found)?;
            let here = machine.ip == client_ip();
            Ok(Machine { name: machine.name, ip: Some(machine.ip), here, since, until })
        }
        MachineAsked::Browser(fields) => {
            let (_, machine) = request(fields)?;
            Ok(Machine { name: machine.name, ip: None, here: true, since: house.now(), until })
        }
    }
}

/// Keeps the answer.
pub(crate) async fn answer(house: &House, by: &Visitor, asked: &MachineAsked, yes: bool) -> Result<Outcome, Trouble> {
    let proof = if yes { Some(house.proof_of(by).ok_or_else(not_found)?) } else { None };
    let (verb, person) = (if yes { "machine.approve" } else { "machine.refuse" }, by.person.as_str());
    match asked {
        MachineAsked::Code(code) => {
            let gone = || again("No machine waits under this code any more. Start again on that machine.");
            let found = match house.machine_waiting(&by.person, code) {
                Ok(Some(found)) => found,
                Ok(None) => return Ok(gone()),
                Err(words) => return Ok(again(words)),
            };
            let (code, machine, _) = found;
            // What is not recorded does not happen: the record comes first.
            record(house, person, verb, &machine).await?;
            if !house.answer_machine(&code, proof) {
                return Ok(gone());
            }
            Ok(go(if yes { "/activate?answered=yes" } else { "/activate?answered=no" }))
        }
        MachineAsked::Browser(fields) => {
            let (request, machine) = request(fields)?;
            record(house, person, verb, &machine).await?;
            let (redirect, state) = (request.redirect.clone(), request.state.clone());
            let iss = encode(&house.origin);
            let Some(proof) = proof else {
                return Ok(go(format!("{redirect}?error=access_denied&state={state}&iss={iss}")));
            };
            let code = house.give_code(request, proof, machine).map_err(|e| unkept(&e))?;
            let code = code.ok_or_else(|| refused("Too many sign-ins wait. Try again in a minute."))?;
            Ok(go(format!("{redirect}?code={}&state={state}&iss={iss}", code.reveal())))
        }
    }
}

async fn record(house: &House, person: &str, verb: &str, machine: &Asking) -> Result<(), Trouble> {
    let detail = format!("asked from {}", machine.ip);
    let recorded = house.record_change(person, verb, &machine.name, &detail).await;
    recorded.map_err(|e| unavailable("The ledger", &e))?;
    settled(house).await;
    Ok(())
}

/// What a program asks for through the browser. A program that asks wrongly gets nothing, and the browser stays here.
fn request(fields: &[(String, String)]) -> Result<(Request, Asking), Trouble> {
    let one = |name: &str| {
        let mut all = fields.iter().filter(|(k, _)| k == name).map(|(_, v)| v.as_str());
        all.next().filter(|_| all.next().is_none())
    };
    let request = Request::read(one).map_err(|e| refused(format!("The program asked wrongly: {e}.")))?;
    Ok((request, Asking::new(one("machine").unwrap_or_default(), client_ip())))
}
