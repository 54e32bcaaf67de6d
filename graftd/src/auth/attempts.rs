//! Failed attempts to show who one is, by where they come from: who fails too often is not listened to for a while, so that nobody tries out
//! secrets, and looking at them costs nothing meanwhile.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::crowd::net;

/// Failed attempts that an address may make in a row; another one is given back every [`GIVEN_BACK`].
pub const FAILURES_MAX: u32 = 20;
/// How long until one more may be made.
pub const GIVEN_BACK: Duration = Duration::from_secs(3);
/// Addresses that are remembered; with more, those that were quiet for longest are forgotten.
const ADDRESSES_MAX: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub struct Attempts(Mutex<HashMap<IpAddr, Failures>>);

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    /// From when on `count` falls.
    since: Instant,
}

impl Failures {
    fn at(self, now: Instant) -> Self {
        let back = (now.saturating_duration_since(self.since).as_millis() / GIVEN_BACK.as_millis()).min(u128::from(u32::MAX)) as u32;
        match self.count.checked_sub(back).filter(|left| *left > 0) {
            Some(count) => Self { count, since: self.since + GIVEN_BACK * back },
            None => Self { count: 0, since: now },
        }
    }
}

impl Attempts {
    /// Whether this address is listened to now; the error says for how long it is not.
    ///
    /// # Errors
    /// If too many attempts from there have failed.
    pub fn may_try(&self, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let all = self.0.lock().expect("nobody panics while holding it");
        match all.get(&net(from)).map(|failures| failures.at(now)) {
            Some(failures) if failures.count >= FAILURES_MAX => {
                Err((failures.since + GIVEN_BACK).saturating_duration_since(now).max(Duration::from_millis(1)))
            }
            _ => Ok(()),
        }
    }

    /// An attempt from there has failed.
    pub fn failed(&self, from: IpAddr, now: Instant) {
        let mut all = self.0.lock().expect("nobody panics while holding it");
        if all.len() >= ADDRESSES_MAX && !all.contains_key(&net(from)) {
            all.retain(|_, failures| failures.at(now).count > 0);
            if all.len() >= ADDRESSES_MAX
                && let Some(quiet) = all.iter().min_by_key(|(_, failures)| failures.since).map(|(from, _)| *from)
            {
                all.remove(&quiet);
            }
        }
        let failures = all.entry(net(from)).or_insert(Failures { count: 0, since: now });
        *failures = failures.at(now);
        failures.count = failures.count.saturating_add(1).min(FAILURES_MAX);
    }

    /// The last failed attempt from there was none after all.
    pub fn forgive(&self, from: IpAddr) {
        if let Some(failures) = self.0.lock().expect("nobody panics while holding it").get_mut(&net(from)) {
            failures.count = failures.count.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u32) -> IpAddr {
        std::net::Ipv4Addr::from(last).into()
    }

    #[test]
    fn who_fails_too_often_waits_and_nobody_else_does() {
        let (attempts, begin) = (Attempts::default(), Instant::now());
        for _ in 0..FAILURES_MAX {
            attempts.may_try(address(1), begin).expect("not too often yet");
            attempts.failed(address(1), begin);
        }
        assert_eq!(attempts.may_try(address(1), begin), Err(GIVEN_BACK));
        attempts.may_try(address(2), begin).expect("it is somebody else");
        let later = begin + GIVEN_BACK;
        attempts.may_try(address(1), later).expect("one was given back");
        attempts.failed(address(1), later);
        attempts.may_try(address(1), later).expect_err("and used");
        let much_later = later + GIVEN_BACK * FAILURES_MAX;
        for _ in 0..FAILURES_MAX {
            attempts.may_try(address(1), much_later).expect("all were given back");
            attempts.failed(address(1), much_later);
        }
        attempts.may_try(address(1), much_later).expect_err("and used");
    }

    #[test]
    fn no_more_addresses_are_remembered_than_there_is_room_for() {
        let (attempts, begin) = (Attempts::default(), Instant::now());
        for last in 0..2 * ADDRESSES_MAX as u32 {
            attempts.failed(address(last), begin + Duration::from_micros(u64::from(last)));
        }
        assert_eq!(attempts.0.lock().expect("not poisoned").len(), ADDRESSES_MAX);
    }
}
