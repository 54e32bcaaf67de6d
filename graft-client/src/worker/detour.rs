//! When the leader cannot be reached at its own address: a member that can be reached is asked to carry the stream there.
//!
//! A worker behind a proxy, a port forwarding or a load balancer may have one way to the whole cluster. It learns from any member who leads,
//! tries that address, and if no leader has greeted it after a while, opens the stream of a member that did greet it anew, as a detour. One
//! stream at a time is one: two would be two streams of one process to the leader, which keeps the newer. A way that was needed once is taken
//! again without a wait, until the leader is reached directly.

/// How long the leader may take to greet, once a member has said who it is, in milliseconds.
const WAIT_MS: u64 = 2_000;

/// Whether it is time for one.
#[derive(Debug, Default)]
pub(super) struct Detour {
    /// A member has said where the leader is.
    leader_named: bool,
    /// Since when the leader could have greeted.
    since: Option<u64>,
}

impl Detour {
    /// A member that does not lead has greeted, and said who does or that it does not know.
    pub(super) fn heard(&mut self, leader_address: &str) {
        self.leader_named = !leader_address.is_empty();
    }

    /// Where the worker stands now: whether a leader has greeted it, and whether anybody has. True: a detour is to be taken.
    pub(super) fn due(&mut self, now: u64, led: bool, greeted: bool) -> bool {
        if led || !greeted || !self.leader_named {
            self.since = None;
            return false;
        }
        let due = *self.since.get_or_insert(now) + WAIT_MS <= now;
        if due {
            self.since = Some(now);
        }
        due
    }

    /// When that is to be asked again, if nothing happens before.
    pub(super) fn next_timeout(&self) -> Option<u64> {
        self.since.map(|since| since + WAIT_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detour_is_taken_when_a_leader_that_is_known_has_not_greeted_for_a_while() {
        let mut detour = Detour::default();
        assert!(!detour.due(1, false, true) && detour.next_timeout().is_none(), "nobody knows of a leader");
        detour.heard("http://b:1");
        assert!(!detour.due(10, false, true));
        assert_eq!(detour.next_timeout(), Some(10 + WAIT_MS));
        assert!(!detour.due(9 + WAIT_MS, false, true));
        assert!(detour.due(10 + WAIT_MS, false, true));
        assert!(!detour.due(11 + WAIT_MS, false, true), "the next one gets its time, too");
        assert!(!detour.due(5 * WAIT_MS, true, true) && detour.next_timeout().is_none(), "the leader has greeted");
        assert!(!detour.due(5 * WAIT_MS + 1, false, false), "there is nobody to ask");
    }
}
