//! The path: decided once, forwarded as decided.

use safeconduct_model::{Hardening, OptOuts};

/// How often a path is decoded to see what lies hidden in it. One that is not at its end then is refused.
const DECODINGS: usize = 4;

/// The canonical form of a raw path, or the stable code of what is wrong with it.
///
/// Percent-encoded unreserved characters are decoded, all other encodings get upper-case digits, and the few characters that
/// RFC 3986 does not allow but browsers send are encoded. Whatever an upstream could read as another path is refused.
pub fn canonical(raw: &[u8], hardening: Hardening) -> Result<String, &'static str> {
    if raw.first() != Some(&b'/') {
        return Err("path_not_absolute");
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some((&byte, after)) = rest.split_first() {
        match byte {
            b'%' => {
                rest = encoded(rest, hardening, &mut out)?;
                continue;
            }
            b'/' if out.ends_with('/') => {
                if !hardening.merge_slashes {
                    return Err("path_double_slash");
                }
            }
            b';' if !hardening.allow_semicolon => return Err("path_semicolon"),
            b'\\' => return Err("path_backslash"),
            b'#' => return Err("path_fragment"),
            b'"' | b'<' | b'>' | b'^' | b'`' | b'{' | b'|' | b'}' => push_encoded(&mut out, byte),
            0x21..=0x7e => out.push(char::from(byte)),
            0x80.. => return Err("path_not_ascii"),
            _ => return Err("path_control"),
        }
        rest = after;
    }
    match () {
        () if hides(&out) => Err("path_double_encoding"),
        () if has_dot_segment(&out) => Err("path_dot_segment"),
        () => Ok(out),
    }
}

/// The canonical form of a raw path under the opt-outs of the route that it belongs to, or the stable code of what is wrong.
///
/// A path has one canonical form: opt-outs decide whether it is accepted, never what it is. So the route is found on this form,
/// and then asked for its opt-outs. And because an application may read what was opted out in more than one way (`%2F` as data
/// or as a slash, what follows a `;` as a part of the name or not at all), the route must be the same in all of them.
pub fn canonical_on_route(raw: &[u8], method: &str, opt_outs: OptOuts<'_>) -> Result<String, &'static str> {
    if let Ok(strict) = canonical(raw, Hardening::default()) {
        return Ok(strict);
    }
    let Ok(path) = canonical(raw, Hardening::OPEN) else {
        return Err(canonical(raw, opt_outs.everywhere()).err().unwrap_or("path_not_canonical"));
    };
    let line = opt_outs.line(method, &path);
    canonical(raw, opt_outs.of(line))?;
    let elsewhere = |reading: &String| opt_outs.line(method, reading) != line;
    if readings(&path).iter().any(elsewhere) { Err("path_of_two_routes") } else { Ok(path) }
}

/// What an application may take a canonical path for that holds an encoded slash or a semicolon.
fn readings(path: &str) -> Vec<String> {
    let named = |path: &str| {
        let cut = |segment: &str| segment.split(';').next().unwrap_or_default().to_owned();
        path.split('/').map(cut).collect::<Vec<_>>().join("/")
    };
    let merged = |path: &str| {
        path.chars().fold(String::with_capacity(path.len()), |mut out, c| {
            if c != '/' || !out.ends_with('/') {
                out.push(c);
            }
            out
        })
    };
    let bare = path.replace("%3B", ";");
    let split = |path: &str| path.replace("%2F", "/").replace("%5C", "/");
    let mut all = vec![named(&bare), split(path), named(&split(&bare)), split(&named(&bare))];
    let whole: Vec<String> = all.iter().map(|path| merged(path)).collect();
    all.extend(whole);
    all
}

/// Whether a raw path is its own canonical form, whatever the opt-outs; the common case, seen in one pass.
#[doc(hidden)]
#[must_use]
pub fn is_plain(raw: &[u8]) -> bool {
    let plain = |b: u8| {
        b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b'='
                    | b':'
                    | b'@'
                    | b'/'
            )
    };
    // A dot or a slash behind a slash may be a dot segment or an empty one: the long way decides.
    raw.first() == Some(&b'/')
        && raw.iter().all(|b| plain(*b))
        && !raw.windows(2).any(|w| w[0] == b'/' && matches!(w[1], b'/' | b'.'))
}

/// The query, which never changes the path and is forwarded as it came.
pub fn query(raw: &str) -> Result<(), &'static str> {
    let fine = raw.bytes().all(|b| matches!(b, 0x21..=0x7e) && b != b'#');
    if fine { Ok(()) } else { Err("query_bad_byte") }
}

/// Takes one `%xx`, or a whole run of them that spells a character outside ASCII; returns what follows.
fn encoded<'a>(rest: &'a [u8], hardening: Hardening, out: &mut String) -> Result<&'a [u8], &'static str> {
    let byte = triplet(rest)?;
    let after = &rest[3..];
    match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
        b'/' | b'\\' if !hardening.allow_encoded_slash => return Err("path_encoded_slash"),
        b';' if !hardening.allow_semicolon => return Err("path_semicolon"),
        0 => return Err("path_nul"),
        0x01..=0x1f | 0x7f => return Err("path_control"),
        0x80.. => return character(rest, out),
        _ => push_encoded(out, byte),
    }
    Ok(after)
}

/// The byte that `%xx` at the front spells.
fn triplet(rest: &[u8]) -> Result<u8, &'static str> {
    let digit = |at: usize| rest.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    match (rest.first(), digit(1), digit(2)) {
        (Some(b'%'), Some(high), Some(low)) => Ok(high << 4 | low),
        _ => Err("path_bad_encoding"),
    }
}

/// Whether decoding the canonical form more than once would bring up a byte that matters. The digits of a second encoding may
/// have been encoded themselves (`%25%32%65`), so this is seen in the canonical form and not in the raw one.
fn hides(path: &str) -> bool {
    if !path.contains("%25") {
        return false;
    }
    let (mut bytes, _) = decoded(path.as_bytes());
    for _ in 0..DECODINGS {
        let (next, matters) = decoded(&bytes);
        if matters || next == bytes {
            return matters;
        }
        bytes = next;
    }
    true
}

/// Decodes once, and says whether a byte came up that could make it another path.
fn decoded(bytes: &[u8]) -> (Vec<u8>, bool) {
    let (mut out, mut rest, mut matters) = (Vec::with_capacity(bytes.len()), bytes, false);
    while let Some((first, after)) = rest.split_first() {
        if let Ok(byte) = triplet(rest) {
            matters |= matches!(byte, 0..=0x1f | b'.' | b'/' | b'\\' | b'%' | b';' | 0x7f);
            out.push(byte);
            rest = &rest[3..];
        } else {
            out.push(*first);
            rest = after;
        }
    }
    (out, matters)
}

/// One character outside ASCII: strict UTF-8, so an overlong form is refused.
fn character<'a>(rest: &'a [u8], out: &mut String) -> Result<&'a [u8], &'static str> {
    let mut bytes = Vec::with_capacity(4);
    for at in 0..4 {
        let Ok(byte) = triplet(rest.get(3 * at..).unwrap_or_default()) else { break };
        bytes.push(byte);
        if std::str::from_utf8(&bytes).is_ok() {
            bytes.iter().for_each(|b| push_encoded(out, *b));
            return Ok(&rest[3 * bytes.len()..]);
        }
    }
    Err("path_bad_utf8")
}

fn push_encoded(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// Whether a segment is `.` or `..`, also where an upstream splits at an encoded slash or cuts a segment at `;`.
fn has_dot_segment(path: &str) -> bool {
    let split = path.replace("%2F", "/").replace("%5C", "/").replace("%3B", ";");
    split.split('/').any(|segment| matches!(segment.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use safeconduct_model::RouteRule;

    use super::*;

    fn strict(raw: &str) -> Result<String, &'static str> {
        canonical(raw.as_bytes(), Hardening::default())
    }

    #[test]
    fn nt_01_a_path_has_one_spelling() {
        for (raw, path) in [
            ("/", "/"),
            ("/a/b.html", "/a/b.html"),
            ("/%61dmin", "/admin"),
            ("/a%2db", "/a-b"),
            ("/a%c3%a4b", "/a%C3%A4b"),
            ("/a%20b", "/a%20b"),
            ("/100%25", "/100%25"),
            ("/%2541", "/%2541"),
            ("/a|b", "/a%7Cb"),
            ("/a...b/.hidden/x.", "/a...b/.hidden/x."),
            ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
        ] {
            assert_eq!(strict(raw).as_deref(), Ok(path), "{raw}");
        }
    }

    #[test]
    fn nt_01_what_could_be_read_as_another_path_is_refused() {
        for (raw, code) in [
            ("/public/../admin", "path_dot_segment"),
            ("/public/./admin", "path_dot_segment"),
            ("/public/..", "path_dot_segment"),
            ("/public/%2e%2e/admin", "path_dot_segment"),
            ("/public/.%2E/admin", "path_dot_segment"),
            ("/public%2f..%2fadmin", "path_encoded_slash"),
            ("/a%5cb", "path_encoded_slash"),
            ("/a\\b", "path_backslash"),
            ("//admin", "path_double_slash"),
            ("/a//b", "path_double_slash"),
            ("/a;b", "path_semicolon"),
            ("/a%3bb", "path_semicolon"),
            ("/a%00", "path_nul"),
            ("/a%0d%0ab", "path_control"),
            ("/a%7f", "path_control"),
            ("/a%252f", "path_double_encoding"),
            ("/%252e%252e/", "path_double_encoding"),
            ("/%25%32%65%25%32%65/", "path_double_encoding"),
            ("/a%252%66b", "path_double_encoding"),
            ("/a%25%32%35b", "path_double_encoding"),
            ("/%252%2565%252%2565/", "path_double_encoding"),
            ("/%256%253%253%253%253%253%2535", "path_double_encoding"),
            ("/a%2", "path_bad_encoding"),
            ("/a%zz", "path_bad_encoding"),
            ("/a%+1", "path_bad_encoding"),
            ("/%c0%ae%c0%ae/", "path_bad_utf8"),
            ("/%e0%80%af", "path_bad_utf8"),
            ("/%ff", "path_bad_utf8"),
            ("/%c3", "path_bad_utf8"),
            ("/ä", "path_not_ascii"),
            ("/a b", "path_control"),
            ("/a#b", "path_fragment"),
            ("*", "path_not_absolute"),
            ("", "path_not_absolute"),
        ] {
            assert_eq!(strict(raw), Err(code), "{raw}");
        }
    }

    #[test]
    fn opt_outs_open_what_they_name_and_nothing_else() {
        let slash = Hardening { allow_encoded_slash: true, ..Hardening::default() };
        assert_eq!(canonical(b"/a%2fb%5c", slash).as_deref(), Ok("/a%2Fb%5C"));
        assert_eq!(canonical(b"/a%2f..%2fb", slash), Err("path_dot_segment"));
        assert_eq!(canonical(b"/a%5c%2e%2e", slash), Err("path_dot_segment"));
        let merge = Hardening { merge_slashes: true, ..Hardening::default() };
        assert_eq!(canonical(b"//a///b//", merge).as_deref(), Ok("/a/b/"));
        assert_eq!(canonical(b"/a//..", merge), Err("path_dot_segment"));
        let semicolon = Hardening { allow_semicolon: true, ..Hardening::default() };
        assert_eq!(canonical(b"/a;v=1/b%3b", semicolon).as_deref(), Ok("/a;v=1/b%3B"));
        assert_eq!(canonical(b"/a/..;/b", semicolon), Err("path_dot_segment"));
        assert_eq!(canonical(b"/a/..%3bx/b", semicolon), Err("path_dot_segment"));
    }

    fn route(methods: &[&str], path: &str, hardening: Option<Hardening>) -> RouteRule {
        let methods = methods.iter().map(|m| (*m).to_owned()).collect();
        RouteRule { methods, path: path.into(), action: None, hardening }
    }

    #[test]
    fn an_opt_out_of_a_route_holds_there_and_nowhere_else() {
        let slash = Hardening { allow_encoded_slash: true, ..Hardening::default() };
        let semicolon = Hardening { allow_semicolon: true, ..Hardening::default() };
        let merge = Hardening { merge_slashes: true, ..Hardening::default() };
        let routes = [
            route(&[], "/files/secret/*", None),
            route(&["GET"], "/files/*", Some(slash)),
            route(&[], "/maven/*", Some(semicolon)),
            route(&[], "/old/*", Some(merge)),
            route(&[], "/admin*", None),
        ];
        let table = OptOuts::new(Hardening::default(), &routes);
        let on = |method, raw: &str| canonical_on_route(raw.as_bytes(), method, table);
        for (method, raw, path) in [
            ("GET", "/files/group%2fproject", "/files/group%2Fproject"),
            ("GET", "/%66iles/a%2Fb", "/files/a%2Fb"),
            ("GET", "/maven/a;v=1/b", "/maven/a;v=1/b"),
            ("GET", "/old//x", "/old/x"),
            ("GET", "//old/x", "/old/x"),
            ("POST", "/plain/a%20b", "/plain/a%20b"),
        ] {
            assert_eq!(on(method, raw).as_deref(), Ok(path), "{method} {raw}");
        }
        for (method, raw, code) in [
            ("GET", "/a%2fb", "path_encoded_slash"),
            ("POST", "/files/a%2fb", "path_encoded_slash"),
            ("GET", "/files/a;b", "path_semicolon"),
            ("GET", "/files//b", "path_double_slash"),
            ("GET", "/maven/a%2fb", "path_encoded_slash"),
            ("GET", "/files%2fa", "path_encoded_slash"),
            ("GET", "/other//old/x", "path_double_slash"),
            // What an application that decodes would take for another route.
            ("GET", "/files/secret%2fplan", "path_of_two_routes"),
            ("GET", "/files/%2fsecret%2fplan", "path_of_two_routes"),
            ("GET", "/files/secret%5Cplan", "path_of_two_routes"),
            ("GET", "/files/x%2f..%2fsecret", "path_encoded_slash"),
            ("GET", "/files/a%252fb", "path_double_encoding"),
        ] {
            assert_eq!(on(method, raw), Err(code), "{method} {raw}");
        }
        // Opted out everywhere, the table still means what it says.
        let open = OptOuts::new(Hardening::OPEN, &routes[4..]);
        let on = |raw: &str| canonical_on_route(raw.as_bytes(), "GET", open);
        assert_eq!(on("/%2fadmin"), Err("path_of_two_routes"));
        assert_eq!(on("/;x/admin"), Err("path_of_two_routes"));
        assert_eq!(on("/admin;x=1").as_deref(), Ok("/admin;x=1"));
        assert_eq!(on("/wiki/admin%2Fx").as_deref(), Ok("/wiki/admin%2Fx"));
        let exact = [route(&[], "/admin", None)];
        let open = OptOuts::new(Hardening::OPEN, &exact);
        assert_eq!(canonical_on_route(b"/admin;x", "GET", open), Err("path_of_two_routes"));
        assert_eq!(canonical_on_route(b"/admin%3bx", "GET", open), Err("path_of_two_routes"));
        assert_eq!(canonical_on_route(b"//admin", "GET", open).as_deref(), Ok("/admin"), "this is what is forwarded");
    }

    fn any_hardening() -> impl Strategy<Value = Hardening> {
        any::<(bool, bool, bool)>().prop_map(|(a, b, c)| Hardening {
            allow_encoded_slash: a,
            merge_slashes: b,
            allow_semicolon: c,
            drop_underscore_headers: false,
        })
    }

    fn any_route() -> impl Strategy<Value = RouteRule> {
        let paths = vec!["/a", "/a*", "/a/*", "/a/b*", "/b/*", "/*", "/a%2Fb*", "/a;b*"];
        (prop::sample::select(paths), proptest::option::of(any_hardening())).prop_map(|(path, h)| route(&[], path, h))
    }

    proptest! {
        #[test]
        fn nt_01_an_opt_out_never_changes_the_route_and_holds_on_its_own_route_alone(
            raw in r"(/|a|b|//|%2[fF]|;|%3b|%5c|%61|%62|\.\.){0,8}",
            routes in proptest::collection::vec(any_route(), 0..4),
            everywhere in any_hardening(),
        ) {
            let raw = format!("/{raw}");
            let table = OptOuts::new(everywhere, &routes);
            let open = canonical(raw.as_bytes(), Hardening::OPEN);
            // The same path under any opt-outs, or none: what they change is whether it is accepted.
            for h in [everywhere, Hardening::default()].into_iter().chain(routes.iter().filter_map(|r| r.hardening)) {
                let found = canonical(raw.as_bytes(), h);
                prop_assert!(found.is_err() || found == open, "{} is {:?} and {:?}", raw, found, open);
            }
            if let Ok(path) = canonical_on_route(raw.as_bytes(), "GET", table) {
                prop_assert_eq!(open.as_ref(), Ok(&path));
                let line = table.line("GET", &path);
                prop_assert!(canonical(raw.as_bytes(), table.of(line)).is_ok(), "{} on {:?}", raw, line);
                // The naive reading of an application that decodes first and then looks.
                let bytes = decoded(path.as_bytes()).0;
                let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
                let names: Vec<&str> = text.split('/').map(|s| s.split(';').next().unwrap_or_default()).collect();
                prop_assert_eq!(table.line("GET", &names.join("/")), line, "{} is read as {}", path, names.join("/"));
            }
        }

        #[test]
        fn nt_01_the_canonical_form_is_a_fixed_point(
            raw in r"(/|%2[fFeE5]|%3[256]|%6[56]|%5c|\.|\.\.|;|//|%c3%a4|%C0%AE|%00|%41|[a-z%#\\ ]|\PC){0,12}",
            hardening in any_hardening(),
        ) {
            let raw = format!("/{raw}");
            if let Ok(once) = canonical(raw.as_bytes(), hardening) {
                prop_assert_eq!(canonical(once.as_bytes(), hardening), Ok(once.clone()), "canonical twice is canonical once");
            }
        }

        #[test]
        fn nt_01_an_accepted_path_decodes_to_no_climb(
            raw in r"(/|%2[fFeE]|%5[cC]|\.|%2e|;|a|%252e|%25|%3[256]|%6[56]|2|e){0,14}",
            hardening in any_hardening(),
        ) {
            let raw = format!("/{raw}");
            if let Ok(path) = canonical(raw.as_bytes(), hardening) {
                let (mut bytes, _) = decoded(path.as_bytes());
                for _ in 0..3 {
                    let text = String::from_utf8_lossy(&bytes).replace('\\', "/");
                    prop_assert!(!text.split('/').any(|s| s == ".." || s.starts_with("..;")), "{} -> {}", raw, path);
                    (bytes, _) = decoded(text.as_bytes());
                }
                if !hardening.allow_encoded_slash {
                    prop_assert_eq!(path.matches('/').count(), decoded(path.as_bytes()).0.iter().filter(|b| **b == b'/').count());
                }
            }
        }
    }
}
