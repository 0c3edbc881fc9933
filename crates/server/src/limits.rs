//! The bounds of the configuration in the types of the gateway.

use std::time::Duration as Span;

use safeconduct_config::Limits as Settings;
use safeconduct_gateway::Limits;
use safeconduct_model::Duration;

/// The bounds as the gateway takes them. Both sides are named whole, so a bound that only one of them has does not compile.
pub(crate) fn of(settings: &Settings) -> Limits {
    let Settings {
        head_bytes,
        header_count,
        target_bytes,
        body_bytes,
        connections,
        connections_per_address,
        handshakes,
        handshakes_per_address,
        handshake,
        head_read,
        idle,
        body_idle,
        h2_streams,
        h2_pending_resets,
        h2_error_resets,
        h2_ping,
        connect,
        first_byte,
        response_head_bytes,
        response_header_count,
        upstream_idle,
        upstream_idle_for,
        tunnels,
        tunnel_idle,
        announce: _,
        hand_over: _,
        drain,
        lease_tick,
        cut_grace,
        backlog,
        ledger_queue: _,
    } = *settings;
    Limits {
        head_bytes: count(head_bytes),
        header_count: count(header_count),
        target_bytes: count(target_bytes),
        body_bytes,
        connections: count(connections),
        connections_per_address: count(connections_per_address),
        handshakes: count(handshakes),
        handshakes_per_address: count(handshakes_per_address),
        handshake: span(handshake),
        head_read: span(head_read),
        idle: span(idle),
        body_idle: span(body_idle),
        h2_streams: small(h2_streams),
        h2_pending_resets: count(h2_pending_resets),
        h2_error_resets: count(h2_error_resets),
        h2_ping: span(h2_ping),
        connect: span(connect),
        first_byte: span(first_byte),
        response_head_bytes: count(response_head_bytes),
        response_header_count: count(response_header_count),
        upstream_idle: count(upstream_idle),
        upstream_idle_for: span(upstream_idle_for),
        tunnels: count(tunnels),
        tunnel_idle: span(tunnel_idle),
        drain: span(drain),
        lease_tick: span(lease_tick),
        cut_grace: span(cut_grace),
        backlog: small(backlog),
    }
}

fn count(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}

fn small(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn span(d: Duration) -> Span {
    Span::from_millis(d.millis())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_defaults_of_the_configuration_are_those_of_the_gateway() {
        assert_eq!(of(&Settings::default()), Limits::default());
    }

    #[test]
    fn every_test_that_the_page_of_limits_names_exists() {
        let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut texts = String::new();
        let mut folders: Vec<_> = ["gateway", "server", "store"].map(|f| crates.join(f)).into();
        while let Some(folder) = folders.pop() {
            for file in std::fs::read_dir(folder).expect("a folder of ours").filter_map(Result::ok) {
                match file.path() {
                    folder if folder.is_dir() => folders.push(folder),
                    file => texts += &std::fs::read_to_string(file).unwrap_or_default(),
                }
            }
        }
        for limit in Settings::table() {
            assert!(texts.contains(&format!("fn {}(", limit.tested)), "{}: no test {}", limit.name, limit.tested);
        }
    }
}
