//! Expressions, mostly of the type that is asked for.

use super::kinds::{Field, Kind, STRANGE, Schema, TAGS, TYPES, quoted, uid};
use super::{Expr, Random};

/// A way from a variable to a value of some kind.
#[derive(Clone)]
pub(crate) struct Path {
    text: String,
    kind: Kind,
    /// What must be asked before it may be read.
    guards: Vec<String>,
}

/// What an expression can be written over: the types that the scope of its policy promises.
pub(crate) struct Scope<'s> {
    schema: &'s Schema,
    pub principal: usize,
    pub resource: usize,
    paths: Vec<Path>,
}

/// How far paths go.
const FAR: usize = 3;

fn plain(name: &str) -> bool {
    !["if", "in", "has"].contains(&name) && name.chars().all(|c| c.is_ascii_alphanumeric())
}

fn get(of: &str, name: &str) -> String {
    if plain(name) { format!("{of}.{name}") } else { format!("{of}[{}]", quoted(name)) }
}

fn has(of: &str, name: &str) -> String {
    if plain(name) { format!("{of} has {name}") } else { format!("{of} has {}", quoted(name)) }
}

impl<'s> Scope<'s> {
    pub(crate) fn new(schema: &'s Schema, principal: usize, resource: usize) -> Self {
        let mut scope = Self { schema, principal, resource, paths: Vec::new() };
        let var = |text: &str, kind| Path { text: text.into(), kind, guards: Vec::new() };
        scope.walk(var("principal", Kind::Entity(principal)), FAR);
        scope.walk(var("resource", Kind::Entity(resource)), FAR);
        scope.walk(var("context", Kind::Record(schema.context.clone())), FAR);
        scope
    }

    fn walk(&mut self, from: Path, far: usize) {
        let fields: &[Field] = match &from.kind {
            Kind::Entity(of) => &self.schema.types[*of].fields,
            Kind::Record(fields) => fields,
            _ => &[],
        };
        for field in fields.to_vec().iter().filter(|_| far > 0) {
            let mut guards = from.guards.clone();
            if field.optional {
                guards.push(has(&from.text, field.name));
            }
            self.walk(Path { text: get(&from.text, field.name), kind: field.kind.clone(), guards }, far - 1);
        }
        self.paths.push(from);
    }
}

/// The parts of an expression's text between its operands are marked with `_`.
fn put(form: &str, kids: Vec<Expr>) -> Expr {
    Expr { parts: form.split('_').map(str::to_owned).collect(), kids }
}

fn leaf(text: impl Into<String>) -> Expr {
    Expr { parts: vec![text.into()], kids: Vec::new() }
}

impl Random {
    /// An expression of a kind. What must be asked first is added to `guards`.
    pub(crate) fn expr(&mut self, scope: &Scope<'_>, kind: &Kind, depth: usize, guards: &mut Vec<String>) -> Expr {
        if self.wild && self.below(40) == 0 {
            let other = self.kind(1);
            return self.exact(scope, &other, depth, guards);
        }
        self.exact(scope, kind, depth, guards)
    }

    fn exact(&mut self, scope: &Scope<'_>, kind: &Kind, depth: usize, guards: &mut Vec<String>) -> Expr {
        if *kind == Kind::Bool {
            // Each atom asks for what it needs; sometimes it forgets.
            let mut own = Vec::new();
            let atom = self.truth(scope, depth, &mut own);
            own.retain(|_| self.chance(92));
            own.dedup();
            return own.into_iter().rev().fold(atom, |e, guard| put("(_ && _)", vec![leaf(guard), e]));
        }
        if depth == 0 || self.chance(55) {
            return self.simple(scope, kind, guards);
        }
        let d = depth - 1;
        match (kind, self.below(10)) {
            (_, 0) => {
                let condition = self.expr(scope, &Kind::Bool, d, guards);
                let (yes, no) = (self.expr(scope, kind, d, guards), self.expr(scope, kind, d, guards));
                put("(if _ then _ else _)", vec![condition, yes, no])
            }
            (_, 1) => {
                let (field, other) = (self.expr(scope, kind, d, guards), self.expr(scope, &Kind::Long, d, guards));
                put("{n: _, \"odd name\": _}[\"odd name\"]", vec![other, field])
            }
            (Kind::Long, 2..6) => {
                let operator = self.one(&["(_ + _)", "(_ - _)", "(_ * _)"]);
                let sides = (0..2).map(|_| self.expr(scope, &Kind::Long, d, guards)).collect();
                put(operator, sides)
            }
            (Kind::Long, 6) => put("(-_)", vec![self.expr(scope, &Kind::Long, d, guards)]),
            (Kind::Long, _) => {
                let of = self.expr(scope, &Kind::Duration, d, guards);
                let how = ["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"];
                put(&format!("(_).{}()", self.one(&how)), vec![of])
            }
            (Kind::Datetime, 2..6) => {
                let of = self.expr(scope, &Kind::Datetime, d, guards);
                put("(_).offset(_)", vec![of, self.expr(scope, &Kind::Duration, d, guards)])
            }
            (Kind::Datetime, 6..) => put("(_).toDate()", vec![self.expr(scope, &Kind::Datetime, d, guards)]),
            (Kind::Duration, 2..6) => put("(_).toTime()", vec![self.expr(scope, &Kind::Datetime, d, guards)]),
            (Kind::Duration, 6..) => {
                let of = self.expr(scope, &Kind::Datetime, d, guards);
                put("(_).durationSince(_)", vec![of, self.expr(scope, &Kind::Datetime, d, guards)])
            }
            (_, 2..5) => self.tagged(scope, kind, guards).unwrap_or_else(|| self.simple(scope, kind, guards)),
            (Kind::Set(of), _) => {
                let items: Vec<Expr> = (0..self.below(4)).map(|_| self.expr(scope, of, d, guards)).collect();
                let form = vec!["_"; items.len()].join(", ");
                put(&format!("[{form}]"), items)
            }
            _ => self.simple(scope, kind, guards),
        }
    }

    /// A tag of the wanted kind, if an entity has such.
    fn tagged(&mut self, scope: &Scope<'_>, kind: &Kind, guards: &mut Vec<String>) -> Option<Expr> {
        let of: Vec<(&str, usize)> = [("principal", scope.principal), ("resource", scope.resource)].into();
        let of: Vec<&str> = of
            .into_iter()
            .filter(|(_, t)| scope.schema.types[*t].tags.as_ref() == Some(kind))
            .map(|(name, _)| name)
            .collect();
        let of = *of.get(self.below(of.len()))?;
        let tag = quoted(self.one(&TAGS));
        guards.push(format!("{of}.hasTag({tag})"));
        Some(put("_.getTag(_)", vec![leaf(of), leaf(tag)]))
    }

    /// A path or a literal.
    fn simple(&mut self, scope: &Scope<'_>, kind: &Kind, guards: &mut Vec<String>) -> Expr {
        if self.chance(70) {
            let fit: Vec<&Path> = scope.paths.iter().filter(|p| p.kind == *kind).collect();
            if !fit.is_empty() {
                let path = fit[self.below(fit.len())];
                guards.extend(path.guards.iter().rev().cloned());
                return leaf(path.text.clone());
            }
        }
        match kind {
            Kind::Bool => leaf(if self.chance(60) { "true" } else { "false" }),
            Kind::Long => leaf(self.long().to_string()),
            Kind::Text => leaf(quoted(self.text())),
            Kind::Entity(of) => leaf(uid(self.entity(*of))),
            Kind::Set(of) => {
                let items: Vec<Expr> = (0..self.below(4)).map(|_| self.simple(scope, of, guards)).collect();
                let form = vec!["_"; items.len()].join(", ");
                put(&format!("[{form}]"), items)
            }
            Kind::Record(fields) => {
                let fields: Vec<&Field> = fields.iter().filter(|f| !f.optional || self.chance(50)).collect();
                let form: Vec<String> = fields.iter().map(|f| format!("{}: _", quoted(f.name))).collect();
                let values = fields.iter().map(|f| self.simple(scope, &f.kind, guards)).collect();
                put(&format!("{{{}}}", form.join(", ")), values)
            }
            Kind::Ip | Kind::Decimal | Kind::Datetime | Kind::Duration => {
                let (name, argument) = self.extension(kind).expect("the four are extensions");
                if self.wild && self.below(30) == 0 {
                    let odd = self.one(&STRANGE);
                    let form = if self.chance(70) { format!("{name}(_)") } else { format!("{name}(_, true)") };
                    return put(&form, vec![leaf(quoted(odd))]);
                }
                leaf(format!("{name}({})", quoted(argument)))
            }
        }
    }

    fn pair(&mut self, scope: &Scope<'_>, kind: &Kind, d: usize, guards: &mut Vec<String>) -> Vec<Expr> {
        (0..2).map(|_| self.expr(scope, kind, d, guards)).collect()
    }

    fn truth(&mut self, scope: &Scope<'_>, depth: usize, guards: &mut Vec<String>) -> Expr {
        if depth == 0 {
            return self.simple(scope, &Kind::Bool, guards);
        }
        let d = depth - 1;
        match self.below(37) {
            0..4 => {
                let kind = self.kind(1);
                let operator = self.one(&["(_ == _)", "(_ != _)", "(_ != _)"]);
                put(operator, self.pair(scope, &kind, d, guards))
            }
            4..9 => {
                let kind = self.one(&[Kind::Long, Kind::Long, Kind::Datetime, Kind::Duration]);
                let operator = self.one(&["(_ < _)", "(_ <= _)", "(_ > _)", "(_ >= _)"]);
                put(operator, self.pair(scope, &kind, d, guards))
            }
            9..14 => {
                let operator = self.one(&["(_ && _)", "(_ || _)", "(_ || _)"]);
                put(operator, self.pair(scope, &Kind::Bool, d, guards))
            }
            14..16 => put("!(_)", vec![self.expr(scope, &Kind::Bool, d, guards)]),
            16 => {
                let condition = self.expr(scope, &Kind::Bool, d, guards);
                let mut items = vec![condition];
                items.extend(self.pair(scope, &Kind::Bool, d, guards));
                put("(if _ then _ else _)", items)
            }
            17..20 => {
                let (of, other) = (self.below(TYPES.len()), self.below(TYPES.len()));
                let of = self.expr(scope, &Kind::Entity(of), d, guards);
                let kind = Kind::Entity(other);
                let other = if self.chance(50) { kind } else { Kind::Set(Box::new(kind)) };
                put("(_ in _)", vec![of, self.expr(scope, &other, d, guards)])
            }
            20..22 => {
                let kind = self.below(TYPES.len());
                let of = self.expr(scope, &Kind::Entity(kind), d, guards);
                let kind = if self.chance(70) { kind } else { self.below(TYPES.len()) };
                if self.chance(50) {
                    return put(&format!("(_ is {})", TYPES[kind]), vec![of]);
                }
                let above = Kind::Entity(self.below(TYPES.len()));
                put(&format!("(_ is {} in _)", TYPES[kind]), vec![of, self.expr(scope, &above, d, guards)])
            }
            22..24 => {
                let path = &scope.paths[self.below(scope.paths.len())];
                guards.extend(path.guards.iter().rev().cloned());
                let text = if self.chance(70) {
                    match &path.kind {
                        Kind::Entity(of) => self.asked(&path.text, &scope.schema.types[*of].fields),
                        Kind::Record(fields) => self.asked(&path.text, fields),
                        _ => has("context", "n"),
                    }
                } else {
                    self.one(&["context has rec.n", "principal has owner.n", "resource has rec.rec.n"]).to_owned()
                };
                put("(_)", vec![leaf(text)])
            }
            24..26 => {
                let pattern = self.one(&["a*", "*b", "*", "", "a*b*", "\\*", "a\\*b", "*\u{e9}", "*\\\"*", "1*.1"]);
                put(&format!("(_ like \"{pattern}\")"), vec![self.expr(scope, &Kind::Text, d, guards)])
            }
            26..31 => {
                let item = self.kind(0);
                let set = Kind::Set(Box::new(item.clone()));
                let of = self.expr(scope, &set, d, guards);
                match self.below(4) {
                    0 => put("(_).contains(_)", vec![of, self.expr(scope, &item, d, guards)]),
                    1 => put("(_).containsAll(_)", vec![of, self.expr(scope, &set, d, guards)]),
                    2 => put("(_).containsAny(_)", vec![of, self.expr(scope, &set, d, guards)]),
                    _ => put("(_).isEmpty()", vec![of]),
                }
            }
            31..33 => {
                let of = self.expr(scope, &Kind::Ip, d, guards);
                if self.chance(60) {
                    return put("(_).isInRange(_)", vec![of, self.expr(scope, &Kind::Ip, d, guards)]);
                }
                put(&format!("(_).{}()", self.one(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"])), vec![of])
            }
            33 => {
                let how = self.one(&["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"]);
                put(&format!("(_).{how}(_)"), self.pair(scope, &Kind::Decimal, d, guards))
            }
            34 => {
                let of = self.one(&["principal", "resource"]);
                put("_.hasTag(_)", vec![leaf(of), self.expr(scope, &Kind::Text, d.min(1), guards)])
            }
            _ => self.simple(scope, &Kind::Bool, guards),
        }
    }

    fn asked(&mut self, of: &str, fields: &[Field]) -> String {
        match fields.get(self.below(fields.len() + 1)) {
            Some(field) => has(of, field.name),
            None => has(of, "nothing"),
        }
    }
}
