use super::*;
use crate::testing::{MemoryKeep, NOW, person};

async fn links(keep: &Arc<MemoryKeep>) -> SetupLinks {
    let keep: Arc<dyn Keep> = Arc::<MemoryKeep>::clone(keep);
    SetupLinks::load(keep).await.expect("readable")
}

#[tokio::test]
async fn a_link_counts_once_also_over_a_restart() {
    let keep = Arc::new(MemoryKeep::default());
    let secret = links(&keep).await.make(&person("ada"), NOW).await.expect("made");
    assert!(!keep.dump().contains(&secret), "only the hash is kept");
    let open = links(&keep).await;
    assert_eq!(open.look(&secret, NOW).await, Some(person("ada")));
    assert_eq!(open.redeem(&secret, NOW).await.expect("fresh"), Proven::new(person("ada"), [Method::SetupLink]));
    assert!(matches!(open.redeem(&secret, NOW).await, Err(SignInError::NotOpen)));
    assert!(matches!(links(&keep).await.redeem(&secret, NOW).await, Err(SignInError::NotOpen)));
}

#[tokio::test]
async fn an_old_link_or_one_that_was_replaced_does_not_count() {
    let keep = Arc::new(MemoryKeep::default());
    let open = links(&keep).await;
    let first = open.make(&person("ada"), NOW).await.expect("made");
    let second = open.make(&person("ada"), NOW).await.expect("made");
    assert!(matches!(open.redeem(&first, NOW).await, Err(SignInError::NotOpen)));
    assert!(matches!(open.redeem(&second, NOW + SETUP_LINK_LIFE).await, Err(SignInError::NotOpen)));
    assert!(matches!(open.redeem("", NOW).await, Err(SignInError::NotOpen)));
}

#[tokio::test]
async fn a_link_that_cannot_be_used_up_does_not_count() {
    let keep = Arc::new(MemoryKeep::default());
    let open = links(&keep).await;
    let secret = open.make(&person("ada"), NOW).await.expect("made");
    keep.break_down();
    assert!(matches!(open.redeem(&secret, NOW).await, Err(SignInError::Account(AccountsError::Keep(_)))));
}

#[tokio::test]
async fn nt_39_of_a_hundred_uses_exactly_one_wins() {
    let keep = Arc::new(MemoryKeep::default());
    let open = Arc::new(links(&keep).await);
    let secret = open.make(&person("ada"), NOW).await.expect("made");
    let tries: Vec<_> = (0..100)
        .map(|_| {
            let (open, secret) = (Arc::clone(&open), secret.clone());
            tokio::spawn(async move { open.redeem(&secret, NOW).await.is_ok() })
        })
        .collect();
    let mut wins = 0;
    for one in tries {
        wins += usize::from(one.await.expect("no panic"));
    }
    assert_eq!(wins, 1);
}
