//! From rules to regions: what each condition asks of the facts, for one kind of use of one application.

use std::net::IpAddr;

use safeconduct_model::{Action, Application, GroupId, PersonId, WorkloadId};
use safeconduct_policy::{Compare, Expr, Rule, Scope, Stage};

use super::numbers::Numbers;
use super::pattern::{self, TooComplex};
use super::region::{Dim, Region, Set};
use super::texts::Texts;

/// How many regions one rule may come to.
const MAX_REGIONS: usize = 2_048;
/// Where the addresses of version 4 are put among those of version 6: at the end, among multicast addresses that nobody asks
/// from (RFC 4291, 2.7).
const V4: u128 = u128::MAX - 0xffff_ffff;

/// One kind of use of one application: what rules ask of the two is known here.
#[derive(Clone, Copy)]
pub(crate) struct Env<'a> {
    pub(crate) app: &'a Application,
    pub(crate) action: Action,
    /// Whether the application is as it was before a change of its class or assets: what lies outside the fragment and reads
    /// them may mean something else afterwards.
    pub(crate) before: bool,
}

/// A union of regions.
type Union = Vec<Region>;

/// The regions in which a rule speaks. A permit and a forbid alike.
pub(crate) fn regions(rule: &Rule, env: Env<'_>) -> Result<Union, TooComplex> {
    if !rule.actions.contains(&env.action) || !rule.covers_application(env.app) {
        return Ok(vec![]);
    }
    let mut all = product(&principal_scope(&rule.principal)?, &bound_by(rule)?)?;
    for condition in &rule.when {
        all = product(&all, &cases(condition, true, env)?)?;
    }
    for condition in &rule.unless {
        all = product(&all, &cases(condition, false, env)?)?;
    }
    Ok(all)
}

/// Whether the regions of a rule are the same for everything that its scope covers.
pub(crate) fn is_same_everywhere(rule: &Rule) -> bool {
    let mut same = true;
    for condition in rule.when.iter().chain(&rule.unless) {
        condition.walk(&mut |e| match e {
            Expr::Path(p) | Expr::Has(p) => same &= p.first().is_none_or(|v| v != "resource" && v != "action"),
            Expr::Other { text, .. } => same &= !speaks_of_place(text),
            _ => {}
        });
    }
    same
}

/// Whether a text may read the application, its assets or the action.
fn speaks_of_place(text: &str) -> bool {
    ["resource", "action", "Asset", "Application", "Action"].iter().any(|word| text.contains(word))
}

/// Whom the rule binds, as far as it has come.
fn bound_by(rule: &Rule) -> Result<Union, TooComplex> {
    match rule.stage {
        Stage::Enforce => Ok(constant(true)),
        Stage::Shadow => Ok(constant(false)),
        Stage::Canary(share) => one(&Dim::Canary(rule.id.clone(), share), Set::One(true), true),
    }
}

/// The regions of the scope alone, without the conditions.
pub(crate) fn scope(rule: &Rule, env: Env<'_>) -> Result<Union, TooComplex> {
    if !rule.actions.contains(&env.action) || !rule.covers_application(env.app) {
        return Ok(vec![]);
    }
    product(&principal_scope(&rule.principal)?, &bound_by(rule)?)
}

fn principal_scope(scope: &Scope) -> Result<Union, TooComplex> {
    match scope {
        Scope::Any => Ok(vec![Region::whole()]),
        Scope::Is(kind, id) => principal_is(kind, id, true),
        Scope::In(kind, id) => principal_in(kind, id, true),
        Scope::Kind(kind, parent) => {
            let of_kind = principal_kind(kind, true)?;
            match parent {
                None => Ok(of_kind),
                Some((kind, id)) => product(&of_kind, &principal_in(kind, id, true)?),
            }
        }
    }
}

/// The regions in which a condition holds, or in which it does not.
fn cases(e: &Expr, want: bool, env: Env<'_>) -> Result<Union, TooComplex> {
    match e {
        Expr::Bool(b) => Ok(constant(*b == want)),
        Expr::Not(inner) => cases(inner, !want, env),
        Expr::And(a, b) if want => product(&cases(a, true, env)?, &cases(b, true, env)?),
        Expr::Or(a, b) if !want => product(&cases(a, false, env)?, &cases(b, false, env)?),
        Expr::And(a, b) | Expr::Or(a, b) => {
            let mut either = cases(a, want, env)?;
            either.extend(cases(b, want, env)?);
            bounded(either)
        }
        _ => match atom(e, want, env)? {
            Some(union) => Ok(union),
            None => opaque(e, want, env),
        },
    }
}

/// A condition without parts; `None` if it is outside the fragment.
fn atom(e: &Expr, want: bool, env: Env<'_>) -> Result<Option<Union>, TooComplex> {
    Ok(match e {
        Expr::Path(_) => match term(e, env) {
            Some(Term::Fact(dim @ Dim::Flag(_))) => Some(one(&dim, Set::One(true), want)?),
            _ => None,
        },
        Expr::Has(p) => has(p, want)?,
        Expr::Compare(op, a, b) => compare(*op, a, b, want, env)?,
        Expr::Contains(set, item) => {
            let Expr::Set(members) = set.as_ref() else { return Ok(None) };
            any_of(members.iter().map(|m| compare(Compare::Eq, item, m, want, env)), want)?
        }
        Expr::Like(of, pattern) => match term(of, env) {
            Some(Term::Text(text)) => Some(constant(pattern::matches(pattern, &text) == want)),
            Some(Term::Fact(dim)) if is_text(&dim) => Some(one(&dim, Set::Texts(Texts::like(pattern)), want)?),
            _ => None,
        },
        Expr::In(left, right) => match right.as_ref() {
            Expr::Set(members) => any_of(members.iter().map(|m| within(left, m, want, env)), want)?,
            right => within(left, right, want, env)?,
        },
        Expr::InRange(address, network) => match (term(address, env), term(network, env)) {
            (Some(Term::Fact(Dim::Ip)), Some(Term::Network(range, _))) => {
                Some(one(&Dim::Ip, Set::Numbers(range), want)?)
            }
            _ => None,
        },
        Expr::Other { text, .. } => match text.trim() {
            "principal is Person" => Some(principal_kind("Person", want)?),
            "principal is Workload" => Some(principal_kind("Workload", want)?),
            _ => None,
        },
        _ => None,
    })
}

/// A side of a comparison.
enum Term {
    Fact(Dim),
    Number(i64),
    Text(String),
    Truth(bool),
    /// Addresses, and whether they are a single one.
    Network(Numbers, bool),
    Entity(String, String),
    Principal,
}

fn term(e: &Expr, env: Env<'_>) -> Option<Term> {
    Some(match e {
        Expr::Long(n) => Term::Number(*n),
        Expr::Text(t) => Term::Text(t.clone()),
        Expr::Bool(b) => Term::Truth(*b),
        Expr::Entity(kind, id) => Term::Entity(kind.clone(), id.clone()),
        Expr::Constant("ip", text) => {
            let (range, single) = network(text)?;
            Term::Network(range, single)
        }
        Expr::Path(p) => match p.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["principal"] => Term::Principal,
            ["resource"] => Term::Entity("Application".to_owned(), env.app.id.to_string()),
            ["action"] => Term::Entity("Action".to_owned(), env.action.name().to_owned()),
            ["resource", "class"] => Term::Text(env.app.class.name().to_owned()),
            ["context", rest @ ..] => Term::Fact(Dim::of_path(&rest.join("."))?),
            _ => return None,
        },
        _ => return None,
    })
}

fn compare(op: Compare, a: &Expr, b: &Expr, want: bool, env: Env<'_>) -> Result<Option<Union>, TooComplex> {
    let (op, want) = if op == Compare::Ne { (Compare::Eq, !want) } else { (op, want) };
    let (Some(left), Some(right)) = (term(a, env), term(b, env)) else { return Ok(None) };
    let equal = op == Compare::Eq;
    Ok(match (left, right) {
        (Term::Fact(dim), Term::Number(n)) if is_number(&dim) => Some(one(&dim, bound(&dim, op, n), want)?),
        (Term::Number(n), Term::Fact(dim)) if is_number(&dim) => Some(one(&dim, bound(&dim, op.mirrored(), n), want)?),
        (Term::Fact(dim), Term::Text(t)) | (Term::Text(t), Term::Fact(dim)) if equal && is_text(&dim) => {
            Some(one(&dim, Set::Texts(Texts::only([t.as_str()])), want)?)
        }
        (Term::Fact(dim @ Dim::Flag(_)), Term::Truth(b)) | (Term::Truth(b), Term::Fact(dim @ Dim::Flag(_)))
            if equal =>
        {
            Some(one(&dim, Set::One(b), want)?)
        }
        (Term::Fact(Dim::Ip), Term::Network(range, single)) | (Term::Network(range, single), Term::Fact(Dim::Ip))
            if equal =>
        {
            // A network of several addresses is equal to no address.
            Some(if single { one(&Dim::Ip, Set::Numbers(range), want)? } else { constant(!want) })
        }
        (Term::Principal, Term::Entity(kind, id)) | (Term::Entity(kind, id), Term::Principal) if equal => {
            Some(principal_is(&kind, &id, want)?)
        }
        (Term::Text(a), Term::Text(b)) if equal => Some(constant((a == b) == want)),
        (Term::Entity(a, i), Term::Entity(b, j)) if equal => Some(constant(((a, i) == (b, j)) == want)),
        (Term::Fact(a), Term::Fact(b)) if equal && a == b => Some(constant(want)),
        (Term::Principal, Term::Principal) if equal => Some(constant(want)),
        _ => None,
    })
}

/// `left in right` for one entity on the right.
fn within(left: &Expr, right: &Expr, want: bool, env: Env<'_>) -> Result<Option<Union>, TooComplex> {
    let (Some(left), Some(Term::Entity(kind, id))) = (term(left, env), term(right, env)) else { return Ok(None) };
    Ok(match left {
        Term::Principal => Some(principal_in(&kind, &id, want)?),
        Term::Entity(t, i) if t == "Application" && i == env.app.id.as_str() => {
            let holds = (t == kind && i == id) || (kind == "Asset" && env.app.assets.iter().any(|a| a.as_str() == id));
            Some(constant(holds == want))
        }
        Term::Entity(t, i) if t == "Action" => Some(constant(((t, i) == (kind, id)) == want)),
        _ => None,
    })
}

fn principal_is(kind: &str, id: &str, want: bool) -> Result<Union, TooComplex> {
    // An id that no asker can carry belongs to nobody.
    let possible = match kind {
        "Person" => id.parse::<PersonId>().is_ok(),
        "Workload" => id.parse::<WorkloadId>().is_ok(),
        _ => false,
    };
    if !possible {
        return Ok(constant(!want));
    }
    let (of_kind, with_id) = (principal_kind(kind, want)?, one(&Dim::Id, Set::Texts(Texts::only([id])), want)?);
    if want { product(&of_kind, &with_id) } else { Ok([of_kind, with_id].concat()) }
}

fn principal_in(kind: &str, id: &str, want: bool) -> Result<Union, TooComplex> {
    match kind {
        "Group" if id.parse::<GroupId>().is_ok() => one(&Dim::Group(id.into()), Set::One(true), want),
        "Group" => Ok(constant(!want)),
        kind => principal_is(kind, id, want),
    }
}

fn principal_kind(kind: &str, want: bool) -> Result<Union, TooComplex> {
    match kind {
        "Person" => one(&Dim::Person, Set::One(true), want),
        "Workload" => one(&Dim::Person, Set::One(false), want),
        _ => Ok(constant(!want)),
    }
}

fn has(path: &[String], want: bool) -> Result<Option<Union>, TooComplex> {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    Ok(match path.as_slice() {
        ["context", "auth" | "device" | "net"] | ["resource", "class"] => Some(constant(want)),
        ["context", rest @ ..] => match Dim::of_path(&rest.join(".")) {
            Some(dim @ (Dim::Country | Dim::Purpose | Dim::Ticket)) => {
                Some(one(&dim, Set::Texts(Texts::present()), want)?)
            }
            Some(_) => Some(constant(want)),
            None => None,
        },
        _ => None,
    })
}

fn is_number(dim: &Dim) -> bool {
    matches!(dim, Dim::Age | Dim::Time | Dim::Weekday | Dim::Minute)
}

fn is_text(dim: &Dim) -> bool {
    matches!(dim, Dim::Method | Dim::Path | Dim::Zone | Dim::Country | Dim::Purpose | Dim::Ticket)
}

/// The numbers of a fact that stand in this relation to `n`.
fn bound(dim: &Dim, op: Compare, n: i64) -> Set {
    let n = i128::from(n);
    let (low, high) = match op {
        Compare::Lt => (i128::MIN, n - 1),
        Compare::Le => (i128::MIN, n),
        Compare::Gt => (n + 1, i128::MAX),
        Compare::Ge => (n, i128::MAX),
        Compare::Eq | Compare::Ne => (n, n),
    };
    let set = match u128::try_from(high) {
        Ok(high) => Numbers::between(u128::try_from(low).unwrap_or(0), high),
        Err(_) => Numbers::of([]),
    };
    match dim.domain() {
        Set::Numbers(domain) => Set::Numbers(domain.intersection(&set)),
        other => other,
    }
}

/// The addresses of a network as Cedar writes it, and whether they are a single one.
pub(crate) fn network(text: &str) -> Option<(Numbers, bool)> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse::<u32>().ok()?)),
        None => (text, None),
    };
    let (base, bits, v6) = match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(a) => (V4 + u128::from(a.to_bits()), 32_u32, false),
        IpAddr::V6(a) => (a.to_bits(), 128, true),
    };
    let open = bits.checked_sub(prefix.unwrap_or(bits))?;
    let rest = if open == 128 { u128::MAX } else { (1 << open) - 1 };
    let range = Numbers::between(base & !rest, base | rest);
    // An address of version 4 is in no network of version 6.
    let range = if v6 { range.without(&Numbers::between(V4, u128::MAX)) } else { range };
    Some((range, open == 0))
}

/// The address with this number.
pub(crate) fn address(n: u128) -> IpAddr {
    match n.checked_sub(V4).and_then(|n| u32::try_from(n).ok()) {
        Some(v4) => IpAddr::V4(v4.into()),
        None => IpAddr::V6(n.into()),
    }
}

/// The number of an address.
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(a) => V4 + u128::from(a.to_bits()),
        IpAddr::V6(a) => a.to_bits(),
    }
}

// ---- unions ----

fn constant(holds: bool) -> Union {
    if holds { vec![Region::whole()] } else { vec![] }
}

/// The points whose fact lies in the set, or in the rest.
fn one(dim: &Dim, set: Set, want: bool) -> Result<Union, TooComplex> {
    let sets = if want { vec![set] } else { dim.domain().without(&set)? };
    sets.iter().filter_map(|set| Region::of(dim, set).transpose()).collect()
}

fn opaque(e: &Expr, want: bool, env: Env<'_>) -> Result<Union, TooComplex> {
    let mut exact = format!("{e:?}");
    if env.before && speaks_of_place(&exact) {
        exact.insert_str(0, "before: ");
    }
    one(&Dim::Opaque(exact.into(), e.to_string().into()), Set::One(true), want)
}

/// Any of the parts, or none of them; `None` if one part is outside the fragment.
fn any_of(
    parts: impl Iterator<Item = Result<Option<Union>, TooComplex>>,
    want: bool,
) -> Result<Option<Union>, TooComplex> {
    let mut all = constant(!want);
    for part in parts {
        let Some(part) = part? else { return Ok(None) };
        all = if want { bounded([all, part].concat())? } else { product(&all, &part)? };
    }
    Ok(Some(all))
}

fn product(a: &[Region], b: &[Region]) -> Result<Union, TooComplex> {
    let mut all = Vec::new();
    for x in a {
        for y in b {
            all.extend(x.intersection(y)?);
            if all.len() > MAX_REGIONS {
                return Err(TooComplex);
            }
        }
    }
    Ok(all)
}

fn bounded(union: Union) -> Result<Union, TooComplex> {
    if union.len() > MAX_REGIONS { Err(TooComplex) } else { Ok(union) }
}
