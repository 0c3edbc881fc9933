//! Reading one answer off a connection that goes on.

/// Whether a text holds one whole answer.
pub(crate) fn whole(text: &str) -> bool {
    rest_of(text).is_some()
}

/// What follows the first answer of a text, if that is whole.
pub(crate) fn rest_of(text: &str) -> Option<&str> {
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('1') && status != "101" {
        return rest_of(body);
    }
    let field = |name: &str| {
        let mut pairs = head.lines().filter_map(|l| l.split_once(':'));
        pairs.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
    };
    if ["204", "304"].contains(&status) {
        return Some(body);
    }
    if field("transfer-encoding").is_some() {
        return body.split_once("0\r\n\r\n").map(|(_, rest)| rest);
    }
    let length: usize = field("content-length")?.parse().ok()?;
    body.get(length..)
}
