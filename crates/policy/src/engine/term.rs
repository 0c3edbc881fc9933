//! Conditions as a tree of our own, complete: whatever Cedar's public syntax tree can say stands here.

/// One of the four variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Var {
    Principal,
    Action,
    Resource,
    Context,
}

/// Operators on one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Unary {
    Not,
    Neg,
    IsEmpty,
    Decimal,
    Ip,
    Datetime,
    Duration,
    IsIpv4,
    IsIpv6,
    IsLoopback,
    IsMulticast,
    ToDate,
    ToTime,
    ToMilliseconds,
    ToSeconds,
    ToMinutes,
    ToHours,
    ToDays,
}

/// Operators on two values. `!=` is a negated `==`; `>` and `>=` are `<` and `<=` with their sides swapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Binary {
    Eq,
    Less,
    LessEq,
    Add,
    Sub,
    Mul,
    In,
    Contains,
    ContainsAll,
    ContainsAny,
    GetTag,
    HasTag,
    IsInRange,
    Offset,
    DurationSince,
    DecimalLess,
    DecimalLessEq,
}

/// A piece of a `like` pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Piece {
    Char(char),
    AnyRun,
}

/// A condition, or a value inside one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Term {
    Bool(bool),
    Long(i64),
    Text(String),
    /// Type and id.
    Entity(String, String),
    Var(Var),
    /// All hold, left to right, no further than the first that does not.
    All(Vec<Term>),
    /// One holds, left to right, no further than the first that does.
    Any(Vec<Term>),
    If(Box<[Term; 3]>),
    Unary(Unary, Box<Term>),
    Binary(Binary, Box<[Term; 2]>),
    Get(Box<Term>, String),
    /// A path of attributes exists.
    Has(Box<Term>, Vec<String>),
    Like(Box<Term>, Vec<Piece>),
    Is(Box<Term>, String),
    Set(Vec<Term>),
    Record(Vec<(String, Term)>),
}

/// Whom a rule speaks of, for principal or resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Side {
    /// The type that it must have.
    pub kind: Option<String>,
    /// The entity that it must be or be in.
    pub anchor: Anchor,
}

/// The entity that a side of the scope names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Any,
    Is(String, String),
    In(String, String),
}

/// Which actions a rule speaks of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actions {
    Any,
    Is(String, String),
    /// One of these, or in one of these.
    In(Vec<(String, String)>),
}

/// One rule, templates filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Clause {
    pub id: String,
    pub permits: bool,
    pub principal: Side,
    pub actions: Actions,
    pub resource: Side,
    /// All must hold.
    pub condition: Term,
}
