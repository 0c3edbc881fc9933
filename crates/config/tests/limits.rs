//! The limits: the page, the table and the reader say the same.

use safeconduct_config::{Config, Limits, Texts, limits_page, starter};

fn with(lines: &str) -> Result<Limits, String> {
    let mut texts = Texts::from_files(starter("acme.localhost"));
    texts.main.text.push_str(&format!("\n[limits]\n{lines}\n"));
    Config::check(&texts)
        .map(|c| c.settings.limits)
        .map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn the_page_in_the_docs_is_the_table_of_the_program() {
    let page = include_str!("../../../docs/limits.md");
    assert!(page == limits_page(), "docs/limits.md is old: `safeconduct config limits --page > docs/limits.md`");
}

#[test]
fn every_limit_can_be_set_to_both_of_its_bounds_and_to_nothing_beyond() {
    for (i, limit) in Limits::table().iter().enumerate() {
        // Bounds of one address stay below the bound of all.
        let companion = match limit.name {
            "connections_per_address" => "connections = 1_000_000\n",
            "handshakes_per_address" => "handshakes = 100_000\n",
            "connections" => "connections_per_address = 1\n",
            "handshakes" => "handshakes_per_address = 1\n",
            _ => "",
        };
        let written = |v: &str| if limit.unit == "time" { format!("\"{v}\"") } else { v.to_owned() };
        for bound in [&limit.bounds.0, &limit.bounds.1] {
            let limits = with(&format!("{companion}{} = {}", limit.name, written(bound))).expect(limit.name);
            assert_eq!(&limits.values()[i], bound, "{}", limit.name);
        }
        let over = if limit.unit == "time" { "1000000h".to_owned() } else { format!("{}0", limit.bounds.1) };
        let told = with(&format!("{companion}{} = {}", limit.name, written(&over))).expect_err(limit.name);
        assert!(told.contains(limit.name) && told.contains(&limit.bounds.1), "{told}");
    }
}

#[test]
fn a_limit_that_does_not_exist_is_an_error_with_a_hint() {
    assert!(with("head_byte = 4096").expect_err("unknown").contains("did you mean `head_bytes`?"));
    assert!(with("whatever = 1").expect_err("unknown").contains("[limits] takes: head_bytes, header_count"));
    assert!(with("connections = 10").expect_err("1000 of one address").contains("larger than the bound of all"));
    assert!(with("idle = 75").expect_err("no unit").contains("not a text"));
    assert!(with("h2_streams = \"12\"").expect_err("quoted").contains("whole number from 1 to 10000"));
}
