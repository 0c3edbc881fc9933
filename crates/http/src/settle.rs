//! The canonical form: what policy sees is what the application gets.

use safeconduct_model::{Hardening, OptOuts};

use crate::head::{Field, Head, Span, Version, all, text};
use crate::names::Name;
use crate::{Bounds, Framing, Refused, path};

/// What a connection may become.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upgrade {
    /// It stays as it is.
    #[default]
    None,
    /// A WebSocket, if the application agrees.
    WebSocket,
}

/// What settling a head found.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Settled {
    /// The canonical path.
    pub(crate) path: Span,
    pub(crate) query: Option<Span>,
    /// The value of the session cookie, if there is exactly one.
    pub(crate) session: Option<Span>,
    /// The cookies that go on to the application.
    pub(crate) cookies: Option<Span>,
    pub(crate) upgrade: Upgrade,
    pub(crate) expects_continue: bool,
    /// Whether the client wants to keep the connection.
    pub(crate) persistent: bool,
}

impl Head {
    /// Makes the request canonical under the opt-outs of its application and route. `cookies` are those of the gateway: first the one
    /// that carries the session secret, then any others; none of them goes on to the application.
    ///
    /// # Errors
    /// If anything in it could be read in two ways, or meets a bound.
    pub fn settle<'o>(
        &mut self,
        opt_outs: impl Into<OptOuts<'o>>,
        cookies: &[String],
        bounds: &Bounds,
    ) -> Result<(), Refused> {
        let opt_outs = opt_outs.into();
        let method = self.method();
        let connect = method == "CONNECT";
        match method {
            // An extended CONNECT becomes the request for a WebSocket that it stands for.
            "CONNECT" if self.protocol.is_none() => return Err(Refused::limit(501, "connect")),
            "TRACE" => return Err(Refused { status: 405, ..Refused::bad("trace") }),
            _ => {}
        }
        // The path first: it says on which route the request is, and with that what its fields may be.
        self.settle_target(opt_outs)?;
        if !self.is_settled_as_before(cookies) {
            self.settle_fields(opt_outs)?;
            self.settle_cookies(cookies)?;
            self.remember_settled(cookies);
        }
        if let (Some(bound), Framing::Length(n)) = (bounds.body_bytes, self.framing)
            && n > bound
        {
            return Err(Refused::limit(413, "body_too_long"));
        }
        if connect {
            let websocket = self.protocol.map(|p| p.of(&self.text).eq_ignore_ascii_case(b"websocket"));
            if websocket != Some(true) || self.framing == Framing::Length(0) {
                return Err(Refused::limit(501, "connect"));
            }
            self.framing = Framing::None;
            self.method = self.put(b"GET");
            self.settled.upgrade = Upgrade::WebSocket;
        }
        Ok(())
    }

    fn settle_fields(&mut self, opt_outs: OptOuts<'_>) -> Result<(), Refused> {
        let mut persistent = self.version != Version::Http10;
        let (mut upgrades, mut websocket, mut expects) = (false, false, false);
        let mut nominations = false;
        for field in &self.fields {
            if field.kind == Name::Connection {
                for name in nominated(field.value.of(&self.text))? {
                    match name {
                        n if n.eq_ignore_ascii_case(b"close") => persistent = false,
                        n if n.eq_ignore_ascii_case(b"keep-alive") => {}
                        n if n.eq_ignore_ascii_case(b"upgrade") => upgrades = true,
                        _ => nominations = true,
                    }
                }
            }
        }
        for at in 0..self.fields.len() {
            let field = self.fields[at];
            let value = field.value.of(&self.text);
            let dropped = match field.kind {
                Name::EndToEnd | Name::Cookie => false,
                Name::Underscore if self.opted_out(opt_outs).drop_underscore_headers => true,
                Name::Underscore => return Err(Refused::bad("underscore_in_name")),
                Name::Upgrade => {
                    websocket |= value.eq_ignore_ascii_case(b"websocket");
                    true
                }
                Name::Expect if value.eq_ignore_ascii_case(b"100-continue") => {
                    expects = true;
                    true
                }
                Name::Expect => return Err(Refused { status: 417, ..Refused::bad("expect") }),
                Name::Host
                | Name::ContentLength
                | Name::TransferEncoding
                | Name::Connection
                | Name::Te
                | Name::HopByHop
                | Name::Protected => true,
            };
            self.fields[at].dropped = dropped;
        }
        if nominations {
            self.drop_nominated()?;
        }
        if websocket && upgrades {
            let plain = self.version == Version::Http11 && self.method() == "GET";
            if !plain || !matches!(self.framing, Framing::None | Framing::Length(0)) {
                return Err(Refused::bad("websocket"));
            }
            self.settled.upgrade = Upgrade::WebSocket;
        }
        self.settled.expects_continue = expects && self.version == Version::Http11;
        self.settled.persistent = persistent;
        Ok(())
    }

    /// Takes out what `Connection` nominates. Nominating a field that steers or that only the gateway may set is an attack
    /// (NT-07).
    fn drop_nominated(&mut self) -> Result<(), Refused> {
        let mut names: Vec<Vec<u8>> = Vec::new();
        for field in self.fields.iter().filter(|f| f.kind == Name::Connection) {
            names.extend(nominated(field.value.of(&self.text))?.map(<[u8]>::to_ascii_lowercase));
        }
        for name in &names {
            let steers = matches!(name.as_slice(), b"host" | b"cookie" | b"authorization" | b"content-length");
            if steers || crate::names::is_protected(text(name)) {
                return Err(Refused::bad("connection_names_protected_field"));
            }
        }
        for field in &mut self.fields {
            field.dropped |= names.iter().any(|n| n == field.name.of(&self.text));
        }
        Ok(())
    }

    /// The method that the route table sees: a request for a WebSocket over HTTP/2 is the `GET` that it stands for.
    fn meant(&self) -> &str {
        if self.method() == "CONNECT" { "GET" } else { self.method() }
    }

    /// The opt-outs of the route of a request whose path is settled.
    fn opted_out(&self, opt_outs: OptOuts<'_>) -> Hardening {
        opt_outs.of(opt_outs.line(self.meant(), self.path()))
    }

    fn settle_target(&mut self, opt_outs: OptOuts<'_>) -> Result<(), Refused> {
        let target = self.target.of(&self.text);
        let cut = memchr::memchr(b'?', target);
        let raw = &target[..cut.unwrap_or(target.len())];
        let query = cut.map(|at| Span { from: self.target.from + at + 1, to: self.target.to });
        let span = Span { from: self.target.from, to: self.target.from + raw.len() };
        self.settled.path = if path::is_plain(raw) {
            span
        } else {
            let canonical = path::canonical_on_route(raw, self.meant(), opt_outs).map_err(Refused::bad)?;
            self.put(canonical.as_bytes())
        };
        if let Some(query) = query {
            path::query(text(query.of(&self.text))).map_err(Refused::bad)?;
            // Not text: the bytes were looked at above as an empty text.
            if text(query.of(&self.text)).len() != query.to - query.from {
                return Err(Refused::bad("query_bad_byte"));
            }
        }
        self.settled.query = query;
        Ok(())
    }

    /// Takes our cookies out: the session secret, if there is exactly one, and what is left for the application.
    fn settle_cookies(&mut self, ours: &[String]) -> Result<(), Refused> {
        let (mut session, mut sessions, mut own, mut seen) = (None, 0, false, 0);
        let (mut first, rest) = (None, self.text.len());
        for at in 0..self.fields.len() {
            let field = &mut self.fields[at];
            if field.kind != Name::Cookie {
                continue;
            }
            field.dropped = true;
            let value = field.value;
            first = first.or(Some(value));
            seen += 1;
            if !all(value.of(&self.text), |b| matches!(b, b'\t' | 0x20..=0x7e)) {
                return Err(Refused::bad("cookie_not_ascii"));
            }
            let mut from = value.from;
            while from < value.to {
                let (pair, name, secret) = pair(&self.text, Span { from, to: value.to });
                from = pair.to + 1;
                let pair = trimmed(&self.text, pair);
                if pair.from == pair.to {
                    continue;
                }
                match ours.iter().position(|c| c.as_bytes() == name.of(&self.text)) {
                    Some(0) => {
                        (own, sessions) = (true, sessions + 1);
                        session = Some(secret);
                    }
                    Some(_) => own = true,
                    None => {
                        if self.text.len() > rest {
                            self.text.extend_from_slice(b"; ");
                        }
                        self.text.extend_from_within(pair.from..pair.to);
                    }
                }
            }
        }
        self.settled.session = session.filter(|_| sessions == 1);
        let foreign = Span { from: rest, to: self.text.len() };
        self.settled.cookies = match (foreign.from < foreign.to, own || seen > 1) {
            (false, _) => None,
            (true, false) => first,
            (true, true) => Some(foreign),
        };
        Ok(())
    }

    /// Gives a WebSocket that was asked for over HTTP/2 the key that an application over HTTP/1.1 expects (RFC 8441, 5.1).
    pub fn add_websocket_key(&mut self, key: &str) {
        let (name, value) = (self.put(b"sec-websocket-key"), self.put(key.as_bytes()));
        self.fields.push(Field { name, value, kind: Name::EndToEnd, dropped: false });
    }

    /// The canonical path.
    #[must_use]
    pub fn path(&self) -> &str {
        text(self.settled.path.of(&self.text))
    }

    /// The query, as given.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.settled.query.map(|q| text(q.of(&self.text)))
    }

    /// Path and query, as forwarded.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        match self.query() {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path().to_owned(),
        }
    }

    /// The path as it came, for gateways that forward it themselves.
    #[must_use]
    pub fn raw_path(&self) -> &str {
        let target = text(self.target.of(&self.text));
        target.split('?').next().unwrap_or_default()
    }

    /// The value of the session cookie, if there is exactly one.
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.settled.session.map(|s| text(s.of(&self.text)))
    }

    /// The cookies that go on to the application.
    #[must_use]
    pub fn cookies(&self) -> Option<&str> {
        self.settled.cookies.map(|c| text(c.of(&self.text)))
    }

    /// Whether it wants to become something else.
    #[must_use]
    pub fn upgrade(&self) -> Upgrade {
        self.settled.upgrade
    }

    /// Whether the client waits for `100 Continue`.
    #[must_use]
    pub fn expects_continue(&self) -> bool {
        self.settled.expects_continue
    }

    /// Whether the client wants to keep the connection.
    #[must_use]
    pub fn persistent(&self) -> bool {
        self.settled.persistent
    }
}

/// The first pair of what is left of a cookie field, up to its semicolon; its name, and its value.
fn pair(text: &[u8], left: Span) -> (Span, Span, Span) {
    let to = memchr::memchr(b';', left.of(text)).map_or(left.to, |at| left.from + at);
    let pair = Span { from: left.from, to };
    let inner = trimmed(text, pair);
    let equals = memchr::memchr(b'=', inner.of(text)).map_or(inner.to, |at| inner.from + at);
    let name = trimmed(text, Span { from: inner.from, to: equals });
    (pair, name, Span { from: inner.to.min(equals + 1), to: inner.to })
}

/// Without the blanks around it.
fn trimmed(text: &[u8], span: Span) -> Span {
    let bytes = span.of(text);
    let front = bytes.len() - bytes.trim_ascii_start().len();
    let from = span.from + front;
    Span { from, to: from + bytes.trim_ascii().len() }
}

/// The names that a `Connection` field nominates.
fn nominated(value: &[u8]) -> Result<impl Iterator<Item = &[u8]>, Refused> {
    let names = || value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|n| !n.is_empty());
    let token = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    if names().all(|n| n.iter().all(token)) { Ok(names()) } else { Err(Refused::bad("bad_connection")) }
}
