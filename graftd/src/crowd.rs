//! What keeps one of many from taking what is there for all: each address has its part of the connections and of the handshakes, and a refusal that
//! can be provoked is told to the log now and then only.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The log tells of one refusal in so long.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// What counts as one address: whoever has one of IPv6 has 2^64 of them.
pub fn net(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
    }
}

/// Places of a listener, of which each address has its part.
#[derive(Debug)]
pub struct Places {
    connections: usize,
    handshakes: usize,
    taken: Mutex<HashMap<IpAddr, Taken>>,
}

#[derive(Debug)]
struct Taken {
    connections: usize,
    handshakes: Arc<Semaphore>,
}

impl Places {
    /// So many connections for each address, and so many handshakes at a time.
    pub fn new(connections: usize, handshakes: usize) -> Arc<Self> {
        Arc::new(Self { connections, handshakes, taken: Mutex::default() })
    }

    /// A place for a connection from there; `None`: it has all that it may have.
    pub fn enter(self: &Arc<Self>, from: IpAddr) -> Option<Place> {
        let net = net(from);
        let mut all = self.taken.lock().expect("nobody panics while holding it");
        let taken = all.entry(net).or_insert_with(|| Taken { connections: 0, handshakes: Arc::new(Semaphore::new(self.handshakes)) });
        if taken.connections >= self.connections {
            return None;
        }
        taken.connections += 1;
        Some(Place { of: self.clone(), net, handshakes: taken.handshakes.clone() })
    }
}

/// A place that a connection has, until it is dropped.
#[derive(Debug)]
pub struct Place {
    of: Arc<Places>,
    net: IpAddr,
    handshakes: Arc<Semaphore>,
}

impl Place {
    /// Waits for the handshakes of its own address that came before.
    pub async fn handshake(&self) -> OwnedSemaphorePermit {
        self.handshakes.clone().acquire_owned().await.expect("nobody closes it")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.of.taken.lock().expect("nobody panics while holding it");
        if let Some(taken) = all.get_mut(&self.net) {
            taken.connections -= 1;
            if taken.connections == 0 {
                all.remove(&self.net);
            }
        }
    }
}

/// Says whether something is worth a line in the log just now, and how often it was not since the last one.
#[derive(Debug, Default)]
pub struct Seldom(Mutex<(Option<Instant>, u64)>);

impl Seldom {
    /// `Some`: it is, and so many were left out before.
    pub fn now(&self) -> Option<u64> {
        let mut said = self.0.lock().expect("nobody panics while holding it");
        let (last, left_out) = &mut *said;
        if last.is_some_and(|last| last.elapsed() < SAY_EVERY) {
            *left_out += 1;
            return None;
        }
        *last = Some(Instant::now());
        Some(std::mem::take(left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn the_addresses_of_one_subscriber_are_one() {
        assert_eq!(net(address("2001:db8::1")), net(address("2001:db8::ffff:2")));
        assert_ne!(net(address("2001:db8::1")), net(address("2001:db8:0:1::1")));
        assert_eq!(net(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }

    #[tokio::test]
    async fn each_address_has_its_part_and_nobody_more() {
        let places = Places::new(2, 1);
        let (one, two) = (places.enter(address("10.0.0.1")).expect("the first"), places.enter(address("10.0.0.1")).expect("the second"));
        assert!(places.enter(address("10.0.0.1")).is_none(), "it has its part");
        let other = places.enter(address("10.0.0.2")).expect("it is somebody else");
        let shaking = one.handshake().await;
        drop(other.handshake().await);
        assert!(two.handshakes.try_acquire().is_err(), "the other one of its address is at it");
        drop(shaking);
        drop(two.handshake().await);
        drop(one);
        places.enter(address("10.0.0.1")).expect("there is room again");
        drop((two, other));
        assert!(places.taken.lock().expect("not poisoned").is_empty(), "who has gone is forgotten");
    }

    #[test]
    fn what_is_said_too_often_is_counted() {
        let seldom = Seldom::default();
        assert_eq!((seldom.now(), seldom.now(), seldom.now()), (Some(0), None, None));
        seldom.0.lock().expect("not poisoned").0 = None;
        assert_eq!(seldom.now(), Some(2));
    }
}
