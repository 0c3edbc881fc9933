//! Places that may be taken, in all and by address: connections, handshakes.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};

/// How many bits of an address of version 6 are one client: who has one address has its whole /64.
const CLIENT_BITS: u32 = 64;

/// Who holds how many places.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<Taken>);

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A place that is held; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Places>, IpAddr);

impl Places {
    /// Takes a place for an address, unless `most` are taken in all or `most_here` by this client.
    pub(crate) fn enter(self: &Arc<Self>, ip: IpAddr, most: usize, most_here: usize) -> Option<Place> {
        let client = client(ip);
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let here = taken.by_client.get(&client).copied().unwrap_or(0);
        if taken.all >= most || here >= most_here {
            return None;
        }
        taken.all += 1;
        taken.by_client.insert(client, here + 1);
        Some(Place(Arc::clone(self), client))
    }

    /// How many places are taken in all.
    #[cfg_attr(not(test), expect(dead_code, reason = "metrics read it"))]
    pub(crate) fn taken(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        taken.all = taken.all.saturating_sub(1);
        match taken.by_client.get_mut(&self.1) {
            Some(here) if *here > 1 => *here -= 1,
            _ => {
                taken.by_client.remove(&self.1);
            }
        }
    }
}

/// The client behind an address: the address itself in version 4, its network in version 6.
fn client(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let mask = u128::MAX << (Ipv6Addr::BITS - CLIENT_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & mask))
        }
        four => four,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_in_all_and_by_address_and_given_back() {
        let places = Arc::new(Places::default());
        let enter = |text: &str| places.enter(ip(text), 3, 2);
        let (one, two) = (enter("10.0.0.1"), enter("::ffff:10.0.0.1"));
        assert!(one.is_some() && two.is_some());
        assert!(enter("10.0.0.1").is_none(), "one client in both spellings holds two");
        let other = enter("10.0.0.2");
        assert!(other.is_some() && enter("10.0.0.3").is_none(), "three in all");
        drop(one);
        assert!(enter("10.0.0.3").is_some());
        drop((two, other));
        assert_eq!((places.taken(), places.0.lock().unwrap().by_client.len()), (0, 0), "nobody is remembered");
    }

    #[test]
    fn a_network_of_version_6_is_one_client() {
        let places = Arc::new(Places::default());
        let _held = places.enter(ip("2001:db8:1:2::1"), 10, 1).unwrap();
        assert!(places.enter(ip("2001:db8:1:2:ffff::9"), 10, 1).is_none());
        assert!(places.enter(ip("2001:db8:1:3::1"), 10, 1).is_some());
    }
}
