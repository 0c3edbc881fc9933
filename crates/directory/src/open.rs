//! Open ceremonies: single use, short-lived, bounded in number.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use safeconduct_authn::one_time::{Digest, Purpose, Token};
use safeconduct_model::{Duration, Timestamp};

use crate::SignInError;
use crate::proven::random_token;

/// How long a ceremony may take.
pub const CEREMONY_LIFE: Duration = Duration::from_mins(5);
/// How many ceremonies of one kind may be open at once.
pub const MAX_OPEN_CEREMONIES: usize = 10_000;

/// The open ceremonies of one kind. What is kept is a hash of the name, so the table gives no ceremony away.
pub(crate) struct Open<T> {
    purpose: Purpose,
    table: Mutex<HashMap<Digest, (T, Timestamp)>>,
}

impl<T> Open<T> {
    pub(crate) fn new(purpose: Purpose) -> Self {
        Self { purpose, table: Mutex::new(HashMap::new()) }
    }

    /// Opens a ceremony and gives it a name.
    pub(crate) fn begin(&self, state: T, now: Timestamp) -> Result<String, SignInError> {
        let name = random_token()?;
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.len() >= MAX_OPEN_CEREMONIES {
            table.retain(|_, (_, until)| now < *until);
            if table.len() >= MAX_OPEN_CEREMONIES {
                return Err(SignInError::Busy);
            }
        }
        table.insert(name.digest(self.purpose), (state, now + CEREMONY_LIFE));
        Ok(name.reveal())
    }

    /// Takes a ceremony. Whatever comes of it, it is closed now.
    pub(crate) fn take(&self, name: &str, now: Timestamp) -> Result<T, SignInError> {
        let name: Token = name.parse().map_err(|_| SignInError::NotOpen)?;
        let taken = self.table.lock().unwrap_or_else(PoisonError::into_inner).remove(&name.digest(self.purpose));
        match taken {
            Some((state, until)) if now < until => Ok(state),
            _ => Err(SignInError::NotOpen),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn a_ceremony_is_taken_once_and_in_time() {
        let open = Open::new(Purpose::Ceremony);
        let name = open.begin(7, at(0)).expect("room");
        assert_eq!(open.take(&name, at(1)).ok(), Some(7));
        assert!(matches!(open.take(&name, at(1)), Err(SignInError::NotOpen)));
        let name = open.begin(8, at(0)).expect("room");
        assert!(open.take(&name, at(0) + CEREMONY_LIFE).is_err());
        assert!(open.take(&name, at(0)).is_err(), "an attempt closes it");
        assert!(open.take("", at(0)).is_err());
    }

    #[test]
    fn the_number_is_bounded_and_old_ones_make_room() {
        let open = Open::new(Purpose::Ceremony);
        for _ in 0..MAX_OPEN_CEREMONIES {
            open.begin((), at(0)).expect("room");
        }
        assert!(matches!(open.begin((), at(1)), Err(SignInError::Busy)));
        assert!(open.begin((), at(0) + CEREMONY_LIFE).is_ok());
    }

    #[test]
    fn nt_39_of_many_at_once_exactly_one_wins() {
        let open = Open::new(Purpose::Ceremony);
        let name = open.begin((), at(0)).expect("room");
        let wins = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..100).map(|_| scope.spawn(|| open.take(&name, at(1)).is_ok())).collect();
            tries.into_iter().filter(|_| true).map(|t| t.join().expect("no panic")).filter(|won| *won).count()
        });
        assert_eq!(wins, 1);
    }
}
