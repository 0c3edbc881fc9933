//! What a person with a browser meets. See the crate's own words.

mod access;
mod pages;
mod people;
mod policy;
mod sign_in;
mod tour;
mod watch;

use std::process::ExitCode;

use safeconduct_e2e::runner::{Test, main as run};

/// Every test, the long ones first.
const TESTS: [Test; 9] = [
    ("every_page_is_quiet_wide_and_narrow_light_and_dark", pages::every_page_is_quiet),
    ("a_proposal_from_observed_use_is_published_and_binds", policy::a_proposal_is_published_and_binds),
    ("the_tour_leads_to_the_sentence", tour::the_tour_leads_to_the_sentence),
    ("the_first_administrator_signs_in_with_a_passkey", sign_in::the_first_administrator_signs_in_with_a_passkey),
    ("a_used_one_time_link_opens_nothing", sign_in::a_used_one_time_link_opens_nothing),
    ("openid_connect_reaches_an_application", sign_in::openid_connect_reaches_an_application),
    ("a_denial_explains_itself_and_its_remedy_opens", access::a_denial_explains_itself_and_its_remedy_opens),
    ("a_cut_ends_a_live_websocket_within_a_second", watch::a_cut_ends_a_live_websocket_within_a_second),
    ("the_keyboard_reaches_the_main_action", pages::the_keyboard_reaches_the_main_action),
];

fn main() -> ExitCode {
    run(&TESTS)
}
