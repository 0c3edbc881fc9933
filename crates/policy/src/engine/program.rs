//! Conditions compiled: one arena of nodes for all rules, in which equal conditions stand once and constants are folded.

use std::collections::HashMap;

use super::eval::Frame;
use super::names::Names;
use super::term::{Binary, Piece, Term, Unary, Var};
use super::value::{Sym, Value};
use super::world::Land;

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct At(pub u32);

/// A run of items in one of the program's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    start: u32,
    len: u32,
}

/// One step of an evaluation. Lists are runs in `Program::lists`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Node {
    Const(u32),
    /// A constant expression that cannot be evaluated.
    Fail,
    Var(Var),
    /// What stands at a path below the context; a number in `Program::paths`.
    Path(u32),
    /// Whether something stands there.
    HasPath(u32),
    All(Span),
    Any(Span),
    If(At, At, At),
    Unary(Unary, At),
    Binary(Binary, At, At),
    Get(At, Sym),
    Has(At, Span),
    Like(At, u32),
    Is(At, Sym),
    Set(Span),
    /// Names and nodes in turn.
    Record(Span),
}

/// The compiled conditions.
#[derive(Default)]
pub(crate) struct Program {
    nodes: Vec<Node>,
    constants: Vec<Value>,
    lists: Vec<u32>,
    patterns: Vec<Box<[Piece]>>,
    paths: Vec<Box<[Sym]>>,
    shared: Shared,
}

/// Where equal things stand already.
#[derive(Default)]
struct Shared {
    nodes: HashMap<Node, At>,
    constants: HashMap<Value, u32>,
    lists: HashMap<Box<[u32]>, Span>,
    patterns: HashMap<Box<[Piece]>, u32>,
}

fn number(len: usize) -> u32 {
    u32::try_from(len).expect("fewer than four milliards of nodes")
}

impl Program {
    pub(crate) fn node(&self, at: At) -> Node {
        self.nodes[at.0 as usize]
    }

    pub(crate) fn constant(&self, number: u32) -> &Value {
        &self.constants[number as usize]
    }

    pub(crate) fn list(&self, span: Span) -> &[u32] {
        &self.lists[span.start as usize..(span.start + span.len) as usize]
    }

    pub(crate) fn pattern(&self, number: u32) -> &[Piece] {
        &self.patterns[number as usize]
    }

    /// How many different nodes there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// No more rules are added: what only helped to share is dropped.
    pub(crate) fn close(&mut self) {
        self.shared = Shared::default();
        self.nodes.shrink_to_fit();
        self.constants.shrink_to_fit();
        self.lists.shrink_to_fit();
    }

    /// The paths below the context that some rule reads.
    pub(crate) fn paths(&self) -> &[Box<[Sym]>] {
        &self.paths
    }

    /// Whether a rule reads the context as a whole.
    pub(crate) fn reads_whole_context(&self) -> bool {
        self.nodes.contains(&Node::Var(Var::Context))
    }

    /// The number of a path. Few rules read many, and few sets have many in all.
    fn put_path(&mut self, path: Vec<Sym>) -> u32 {
        let known = self.paths.iter().position(|p| **p == *path);
        let at = known.unwrap_or_else(|| {
            self.paths.push(path.into());
            self.paths.len() - 1
        });
        number(at)
    }

    fn put(&mut self, node: Node) -> At {
        if let Some(at) = self.shared.nodes.get(&node) {
            return *at;
        }
        let at = At(number(self.nodes.len()));
        self.nodes.push(node);
        self.shared.nodes.insert(node, at);
        at
    }

    pub(crate) fn put_constant(&mut self, value: Value) -> At {
        let n = number(self.constants.len());
        let n = *self.shared.constants.entry(value.clone()).or_insert(n);
        if n as usize == self.constants.len() {
            self.constants.push(value);
        }
        self.put(Node::Const(n))
    }

    fn put_list(&mut self, items: Vec<u32>) -> Span {
        let items = items.into_boxed_slice();
        if let Some(span) = self.shared.lists.get(&items) {
            return *span;
        }
        let span = Span { start: number(self.lists.len()), len: number(items.len()) };
        self.lists.extend_from_slice(&items);
        self.shared.lists.insert(items, span);
        span
    }

    fn put_pattern(&mut self, pieces: &[Piece]) -> u32 {
        if let Some(n) = self.shared.patterns.get(pieces) {
            return *n;
        }
        let n = number(self.patterns.len());
        self.patterns.push(pieces.into());
        self.shared.patterns.insert(pieces.into(), n);
        n
    }

    /// The truth value that a node always has, if it is a constant one.
    pub(crate) fn as_bool(&self, at: At) -> Option<bool> {
        match self.node(at) {
            Node::Const(n) => match self.constant(n) {
                Value::Bool(truth) => Some(*truth),
                _ => None,
            },
            _ => None,
        }
    }

    fn is_constant(&self, at: At) -> bool {
        matches!(self.node(at), Node::Const(_))
    }

    /// Compiles a term; what does not depend on request or entities is evaluated now.
    pub(crate) fn compile(&mut self, term: &Term, land: &mut Land) -> At {
        match term {
            Term::Bool(truth) => self.put_constant(Value::Bool(*truth)),
            Term::Long(n) => self.put_constant(Value::Long(*n)),
            Term::Text(text) => self.put_constant(Value::Text(land.names.sym(text))),
            Term::Entity(kind, id) => self.put_constant(Value::Entity(land.names.entity(kind, id))),
            Term::Var(var) => self.put(Node::Var(*var)),
            Term::All(terms) => self.chain(terms, true, land),
            Term::Any(terms) => self.chain(terms, false, land),
            Term::If(parts) => {
                let [cond, then, other] = parts.as_ref();
                let cond = self.compile(cond, land);
                match self.as_bool(cond) {
                    Some(true) => self.compile(then, land),
                    Some(false) => self.compile(other, land),
                    None => {
                        let (then, other) = (self.compile(then, land), self.compile(other, land));
                        self.put(Node::If(cond, then, other))
                    }
                }
            }
            Term::Unary(op, of) => {
                let of = self.compile(of, land);
                self.folded(Node::Unary(*op, of), self.is_constant(of), land)
            }
            Term::Binary(op, sides) => {
                let [left, right] = sides.as_ref();
                let (left, right) = (self.compile(left, land), self.compile(right, land));
                let stored = matches!(op, Binary::In | Binary::GetTag | Binary::HasTag);
                let constant = !stored && self.is_constant(left) && self.is_constant(right);
                self.folded(Node::Binary(*op, left, right), constant, land)
            }
            Term::Get(..) if let Some(path) = below_context(term, land) => {
                let n = self.put_path(path);
                self.put(Node::Path(n))
            }
            Term::Get(of, name) => {
                let (of, name) = (self.compile(of, land), land.names.sym(name));
                self.folded(Node::Get(of, name), self.is_record(of), land)
            }
            Term::Has(of, path) if **of == Term::Var(Var::Context) => {
                let path = path.iter().map(|name| land.names.sym(name)).collect();
                let n = self.put_path(path);
                self.put(Node::HasPath(n))
            }
            Term::Has(of, path) => {
                let of = self.compile(of, land);
                let path = path.iter().map(|name| land.names.sym(name).0).collect();
                let path = self.put_list(path);
                self.put(Node::Has(of, path))
            }
            Term::Like(of, pieces) => {
                let (of, pattern) = (self.compile(of, land), self.put_pattern(pieces));
                self.folded(Node::Like(of, pattern), self.is_constant(of), land)
            }
            Term::Is(of, kind) => {
                let (of, kind) = (self.compile(of, land), land.names.sym(kind));
                self.folded(Node::Is(of, kind), self.is_constant(of), land)
            }
            Term::Set(terms) => {
                let items: Vec<At> = terms.iter().map(|term| self.compile(term, land)).collect();
                let constant = items.iter().all(|at| self.is_constant(*at));
                let list = self.put_list(items.iter().map(|at| at.0).collect());
                self.folded(Node::Set(list), constant, land)
            }
            Term::Record(fields) => {
                let fields: Vec<(Sym, At)> =
                    fields.iter().map(|(name, term)| (land.names.sym(name), self.compile(term, land))).collect();
                let constant = fields.iter().all(|(_, at)| self.is_constant(*at));
                let list = self.put_list(fields.iter().flat_map(|(name, at)| [name.0, at.0]).collect());
                self.folded(Node::Record(list), constant, land)
            }
        }
    }

    fn is_record(&self, at: At) -> bool {
        matches!(self.node(at), Node::Const(n) if matches!(self.constant(n), Value::Record(_)))
    }

    /// A conjunction or a disjunction; `neutral` is the truth value that does not decide it.
    fn chain(&mut self, terms: &[Term], neutral: bool, land: &mut Land) -> At {
        let mut items = Vec::new();
        for term in terms {
            let at = self.compile(term, land);
            match self.as_bool(at) {
                Some(truth) if truth == neutral => {}
                Some(_) if items.is_empty() => return at,
                Some(_) => {
                    items.push(at.0);
                    break;
                }
                None => items.push(at.0),
            }
        }
        if items.is_empty() {
            return self.put_constant(Value::Bool(neutral));
        }
        let list = self.put_list(items);
        self.put(if neutral { Node::All(list) } else { Node::Any(list) })
    }

    /// The node, or its value if all that it reads is constant.
    fn folded(&mut self, node: Node, constant: bool, land: &Land) -> At {
        let at = self.put(node);
        if !constant {
            return at;
        }
        let value = Frame::constant(self, land).value(at);
        match value {
            Ok(value) => self.put_constant(value),
            Err(_) => self.put(Node::Fail),
        }
    }
}

/// The names of `context.a.b.c`; nothing for any other expression.
fn below_context(term: &Term, land: &mut Land) -> Option<Vec<Sym>> {
    match term {
        Term::Var(Var::Context) => Some(Vec::new()),
        Term::Get(of, name) => {
            let mut path = below_context(of, land)?;
            path.push(land.names.sym(name));
            Some(path)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn eq(a: Term, b: Term) -> Term {
        Term::Binary(Binary::Eq, Box::new([a, b]))
    }

    fn unary(op: Unary, of: Term) -> Term {
        Term::Unary(op, Box::new(of))
    }

    #[test]
    fn constants_are_folded_and_equal_conditions_stand_once() {
        let (mut program, mut land) = (Program::default(), Land::default());
        let mut compile = |term: &Term| {
            let at = program.compile(term, &mut land);
            (at, program.node(at), program.as_bool(at), program.len())
        };
        let address = |text: &str| unary(Unary::Ip, Term::Text(text.into()));
        assert_eq!(compile(&eq(address("10.0.0.1"), address("10.0.0.1/32"))).2, Some(true));
        assert_eq!(compile(&address("nowhere")).1, Node::Fail);
        let asks = Term::All(vec![Term::Bool(true), eq(Term::Var(Var::Principal), Term::Var(Var::Resource))]);
        let (first, node, _, len) = compile(&asks);
        assert!(matches!(node, Node::All(_)));
        let (second, _, _, len_after) = compile(&asks);
        assert_eq!((first, len), (second, len_after));
        let dead = Term::All(vec![Term::Bool(false), asks.clone()]);
        assert_eq!(compile(&dead).2, Some(false));
        // A value that is not a truth value stays an error, even where nothing but `true` stands beside it.
        assert_eq!(compile(&Term::All(vec![Term::Bool(true), Term::Long(1)])).2, None);
    }
}
