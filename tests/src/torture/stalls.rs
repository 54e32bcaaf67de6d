//! How long nothing was acknowledged, while somebody could have done it.
//!
//! Whoever gets an acknowledgement says so ([`Stalls::moved`]). The nemesis says which faults stand, and whether a quorum and a worker are left: while
//! they are not, nothing can move, and the time does not count as a stall but as an outage.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::plan::Kind;

/// See the module.
#[derive(Debug)]
pub struct Stalls(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    last: Instant,
    standing: Vec<Kind>,
    able: bool,
    measured: Measured,
}

/// What was measured.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// The longest stall.
    pub longest: Duration,
    /// The longest stall that ended while this fault stood; under no name, while none did.
    pub by_kind: BTreeMap<&'static str, Duration>,
    /// The longest time without an acknowledgement while no quorum was left to give one.
    pub longest_outage: Duration,
    /// How often anything was acknowledged.
    pub moves: u64,
}

impl Stalls {
    /// From now on.
    pub fn begin() -> Self {
        Self(Mutex::new(Inner { last: Instant::now(), standing: Vec::new(), able: true, measured: Measured::default() }))
    }

    fn with<T>(&self, does: impl FnOnce(&mut Inner) -> T) -> T {
        does(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Something was acknowledged.
    pub fn moved(&self) {
        self.with(|inner| {
            inner.measured.moves += 1;
            inner.close(Instant::now());
        });
    }

    /// These faults stand from now on. `able`: a quorum and a worker are left.
    pub fn standing(&self, kinds: Vec<Kind>, able: bool) {
        self.with(|inner| {
            // What has lasted so far belongs to what stood so far; a stall goes on over a change, unless nobody was or is able to end it.
            if inner.able != able {
                inner.close(Instant::now());
            }
            inner.standing = kinds;
            inner.able = able;
        });
    }

    /// How often anything was acknowledged so far.
    pub fn moves(&self) -> u64 {
        self.with(|inner| inner.measured.moves)
    }

    /// What was measured so far, with what lasts.
    pub fn measured(&self) -> Measured {
        self.with(|inner| {
            inner.close(Instant::now());
            inner.measured.clone()
        })
    }
}

impl Inner {
    fn close(&mut self, now: Instant) {
        let lasted = now.duration_since(std::mem::replace(&mut self.last, now));
        if !self.able {
            self.measured.longest_outage = self.measured.longest_outage.max(lasted);
            return;
        }
        self.measured.longest = self.measured.longest.max(lasted);
        let names: Vec<&'static str> =
            if self.standing.is_empty() { vec!["none"] } else { self.standing.iter().map(|kind| kind.name()).collect() };
        for name in names {
            let longest = self.measured.by_kind.entry(name).or_default();
            *longest = (*longest).max(lasted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if the last acknowledgement were so long ago.
    fn ago(stalls: &Stalls, seconds: u64) {
        stalls.with(|inner| inner.last = Instant::now().checked_sub(Duration::from_secs(seconds)).expect("the machine runs for longer"));
    }

    #[test]
    fn a_stall_is_of_the_faults_that_stand_and_an_outage_is_none() {
        let stalls = Stalls::begin();
        stalls.standing(vec![Kind::Kill, Kind::Pause], true);
        ago(&stalls, 3);
        stalls.moved();
        stalls.standing(vec![Kind::RestartAll], false);
        ago(&stalls, 9);
        // Healed: from here on it counts again.
        stalls.standing(Vec::new(), true);
        ago(&stalls, 2);
        let measured = stalls.measured();
        assert_eq!((measured.longest.as_secs(), measured.longest_outage.as_secs(), measured.moves), (3, 9, 1));
        let by_kind: Vec<(&str, u64)> = measured.by_kind.iter().map(|(name, longest)| (*name, longest.as_secs())).collect();
        assert_eq!(by_kind, [("kill", 3), ("none", 2), ("pause", 3)]);
    }
}
