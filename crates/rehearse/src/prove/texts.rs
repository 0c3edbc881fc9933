//! Sets of texts: finite, or all but some, with patterns; and whether the value may be absent.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::pattern::{self, TooComplex};

/// A set of values of one text that may be absent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Texts {
    /// Whether absence is in the set.
    pub(crate) absent: bool,
    /// Which texts are.
    pub(crate) present: Present,
}

/// A set of texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Present {
    /// Exactly these.
    Only(BTreeSet<Arc<str>>),
    /// All but those of `not` that match every pattern of `like` and none of `unlike`.
    Except { not: BTreeSet<Arc<str>>, like: BTreeSet<Arc<str>>, unlike: BTreeSet<Arc<str>> },
}

impl Present {
    /// Every text.
    pub(crate) fn all() -> Self {
        Self::Except { not: BTreeSet::new(), like: BTreeSet::new(), unlike: BTreeSet::new() }
    }

    fn none() -> Self {
        Self::Only(BTreeSet::new())
    }

    fn holds(&self, text: &str) -> bool {
        match self {
            Self::Only(texts) => texts.contains(text),
            Self::Except { not, like, unlike } => {
                !not.contains(text)
                    && like.iter().all(|p| pattern::matches(p, text))
                    && !unlike.iter().any(|p| pattern::matches(p, text))
            }
        }
    }

    fn intersection(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Only(texts), set) | (set, Self::Only(texts)) => {
                Self::Only(texts.iter().filter(|t| set.holds(t)).cloned().collect())
            }
            (Self::Except { not: a, like: b, unlike: c }, Self::Except { not: x, like: y, unlike: z }) => {
                Self::Except { not: a | x, like: b | y, unlike: c | z }
            }
        }
    }

    /// The rest, as a union.
    fn complement(&self) -> Vec<Self> {
        match self {
            Self::Only(texts) => {
                vec![Self::Except { not: texts.clone(), like: BTreeSet::new(), unlike: BTreeSet::new() }]
            }
            Self::Except { not, like, unlike } => {
                let one = |p: &Arc<str>| BTreeSet::from([Arc::clone(p)]);
                let mut rest = Vec::new();
                if !not.is_empty() {
                    rest.push(Self::Only(not.clone()));
                }
                let unlike_one = |p| Self::Except { not: BTreeSet::new(), like: BTreeSet::new(), unlike: one(p) };
                let like_one = |p| Self::Except { not: BTreeSet::new(), like: one(p), unlike: BTreeSet::new() };
                rest.extend(like.iter().map(unlike_one));
                rest.extend(unlike.iter().map(like_one));
                rest
            }
        }
    }

    /// A text in the set that matches `also`; `None` if there is none.
    fn find(&self, also: &[&str]) -> Result<Option<String>, TooComplex> {
        match self {
            Self::Only(texts) => {
                let fits = |t: &&Arc<str>| also.iter().all(|p| pattern::matches(p, t));
                Ok(texts.iter().find(fits).map(|t| t.as_ref().to_owned()))
            }
            Self::Except { not, like, unlike } => {
                // A literal with a star in it is no pattern: shut it out one by one, behind the search.
                let (starred, plain): (Vec<_>, Vec<_>) = not.iter().partition(|t| t.contains('*'));
                let like: Vec<&str> = like.iter().map(AsRef::as_ref).chain(also.iter().copied()).collect();
                let unlike: Vec<&str> = unlike.iter().chain(plain).map(AsRef::as_ref).collect();
                match pattern::find(&like, &unlike)? {
                    Some(text) if starred.iter().any(|s| ***s == *text) => Err(TooComplex),
                    found => Ok(found),
                }
            }
        }
    }

    fn is_empty(&self) -> Result<bool, TooComplex> {
        match self {
            Self::Only(texts) => Ok(texts.is_empty()),
            Self::Except { like, unlike, .. } if like.is_empty() && unlike.is_empty() => Ok(false),
            set @ Self::Except { .. } => set.find(&[]).map(|t| t.is_none()),
        }
    }
}

impl Texts {
    /// Exactly these texts, present.
    pub(crate) fn only<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        Self { absent: false, present: Present::Only(texts.into_iter().map(Arc::from).collect()) }
    }

    /// Every text that matches a pattern.
    pub(crate) fn like(pattern: &str) -> Self {
        if !pattern.contains('*') {
            return Self::only([pattern]);
        }
        let like = BTreeSet::from([Arc::from(pattern)]);
        Self { absent: false, present: Present::Except { not: BTreeSet::new(), like, unlike: BTreeSet::new() } }
    }

    /// Every text, but not absence.
    pub(crate) fn present() -> Self {
        Self { absent: false, present: Present::all() }
    }

    /// Absence only.
    pub(crate) fn absent() -> Self {
        Self { absent: true, present: Present::none() }
    }

    /// Everything.
    pub(crate) fn all() -> Self {
        Self { absent: true, present: Present::all() }
    }

    pub(crate) fn is_empty(&self) -> Result<bool, TooComplex> {
        Ok(!self.absent && self.present.is_empty()?)
    }

    pub(crate) fn intersection(&self, other: &Self) -> Self {
        Self { absent: self.absent && other.absent, present: self.present.intersection(&other.present) }
    }

    /// What is in this set and not in the other, as a union.
    pub(crate) fn without(&self, other: &Self) -> Result<Vec<Self>, TooComplex> {
        let mut left = Vec::new();
        for piece in other.complement() {
            let piece = self.intersection(&piece);
            if !piece.is_empty()? {
                left.push(piece);
            }
        }
        Ok(left)
    }

    /// Everything else, as a union.
    pub(crate) fn complement(&self) -> Vec<Self> {
        let mut pieces: Vec<Self> =
            self.present.complement().into_iter().map(|present| Self { absent: false, present }).collect();
        if !self.absent {
            match pieces.first_mut() {
                Some(first) => first.absent = true,
                None => pieces.push(Self::absent()),
            }
        }
        pieces
    }

    pub(crate) fn is_subset(&self, other: &Self) -> Result<bool, TooComplex> {
        Ok(self.without(other)?.is_empty())
    }

    pub(crate) fn is_disjoint(&self, other: &Self) -> Result<bool, TooComplex> {
        self.intersection(other).is_empty()
    }

    /// A text in the set, one of the `liked` where possible, else one that matches a `shape` where possible.
    pub(crate) fn pick(&self, liked: &[&str], shape: Option<&str>) -> Result<Option<String>, TooComplex> {
        if let Some(text) = liked.iter().find(|t| self.present.holds(t)) {
            return Ok(Some((*text).to_owned()));
        }
        if let Some(shape) = shape
            && let Some(text) = self.present.find(&[shape])?
        {
            return Ok(Some(text));
        }
        self.present.find(&[])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set() -> impl Strategy<Value = Texts> {
        let words = || prop::collection::btree_set("[ab]{0,2}".prop_map(Arc::from), 0..3);
        let patterns = || prop::collection::btree_set("[ab]?\\*[ab]?".prop_map(Arc::from), 0..2);
        let present = prop_oneof![
            words().prop_map(Present::Only),
            (words(), patterns(), patterns()).prop_map(|(not, like, unlike)| Present::Except { not, like, unlike }),
        ];
        (any::<bool>(), present).prop_map(|(absent, present)| Texts { absent, present })
    }

    fn holds(set: &Texts, value: Option<&str>) -> bool {
        value.map_or(set.absent, |t| set.present.holds(t))
    }

    proptest! {
        #[test]
        fn the_algebra_agrees_with_asking_each_value(a in set(), b in set(), text in prop::option::of("[abc]{0,3}")) {
            let value = text.as_deref();
            let (p, q) = (holds(&a, value), holds(&b, value));
            prop_assert_eq!(holds(&a.intersection(&b), value), p && q);
            let rest = a.without(&b).expect("small");
            prop_assert_eq!(rest.iter().any(|piece| holds(piece, value)), p && !q);
            prop_assert!(!(p && a.is_empty().expect("small")));
            if a.is_subset(&b).expect("small") {
                prop_assert!(!p || q);
            }
            if let Some(found) = a.pick(&[], None).expect("small") {
                prop_assert!(a.present.holds(&found));
            }
        }
    }
}
