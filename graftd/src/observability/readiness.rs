//! Whether a member should get traffic, and why not. Readiness gates rolling restarts, so it means "caught up", not "alive".
//!
//! ```text
//! recovered   the log has been applied up to where it stood at the start
//! member      the marker is there: this is a member of a formed cluster
//! leader      a leader is heard of and has a majority behind it, or was until a moment ago: an election must not empty a load balancer
//! caught up   since the leader is known, all that it had acknowledged by then was once applied here: a follower that was away must not count
//!             as back while it is gigabytes behind, or a rolling restart would take the next one down
//! drained     an operator has drained the member: whoever may go elsewhere should
//! draining    the member is about to leave
//! ```

use std::sync::{Mutex, PoisonError};

use tokio::sync::watch;

/// The answer, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Readiness {
    /// Whether traffic is welcome.
    pub ready: bool,
    /// What is missing; empty if nothing is.
    pub reason: String,
}

/// Why nobody can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaderless {
    /// No leader is known.
    Unknown,
    /// One is known, and nothing is heard of it.
    Silent,
    /// This member leads, and hears from too few.
    Alone,
}

impl Leaderless {
    fn told(self) -> &'static str {
        match self {
            Self::Unknown => "no leader is known",
            Self::Silent => "nothing is heard of the leader, and no other one is elected",
            Self::Alone => "a majority of the members does not answer this leader: nothing can be written or read",
        }
    }
}

/// What readiness is drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conditions {
    /// What recovery is doing; `None`: it is over.
    pub recovering: Option<String>,
    /// Why this is no member of a formed cluster yet; `None`: it is one.
    pub forming: Option<String>,
    /// Why there is no leader that can work, and was none a moment ago; `None`: there is one.
    pub leaderless: Option<Leaderless>,
    /// Whether what the leader had acknowledged has been applied here, once, since it is known.
    pub caught_up: bool,
    /// Whether an operator has drained the member.
    pub drained: bool,
    /// Whether the member is about to leave.
    pub draining: bool,
}

impl Conditions {
    /// What they come to; the first thing that is missing is the reason.
    pub fn readiness(&self) -> Readiness {
        let missing = if self.draining {
            Some("draining: this member is about to stop")
        } else if let Some(doing) = &self.recovering {
            Some(doing.as_str())
        } else if let Some(why) = &self.forming {
            Some(why.as_str())
        } else if let (Some(_), true) = (self.leaderless, self.drained) {
            Some("there is no leader, and this member does not stand for election: an operator has drained it (graft cluster drain --undo)")
        } else if let Some(why) = self.leaderless {
            Some(why.told())
        } else if self.drained {
            Some("drained by an operator: it neither leads nor stands for election (graft cluster drain --undo)")
        } else if !self.caught_up {
            Some("catching up with the leader: what it has acknowledged is still being applied here")
        } else {
            None
        };
        Readiness { ready: missing.is_none(), reason: missing.unwrap_or_default().to_owned() }
    }
}

/// Holds the conditions and tells when what they come to changes.
#[derive(Debug)]
pub struct ReadinessBoard {
    conditions: Mutex<Conditions>,
    told: watch::Sender<Readiness>,
}

impl ReadinessBoard {
    /// Of a daemon that has just been started.
    pub fn starting() -> Self {
        let conditions = Conditions {
            recovering: Some("starting".into()),
            forming: Some("not a member of a cluster yet".into()),
            leaderless: Some(Leaderless::Unknown),
            caught_up: false,
            drained: false,
            draining: false,
        };
        let (told, _) = watch::channel(conditions.readiness());
        Self { conditions: Mutex::new(conditions), told }
    }

    /// Changes conditions.
    pub fn update(&self, change: impl FnOnce(&mut Conditions)) {
        let mut conditions = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut conditions);
        let now = conditions.readiness();
        self.told.send_if_modified(|last| {
            let changed = *last != now;
            *last = now;
            changed
        });
    }

    /// What they come to, now and from now on.
    pub fn subscribe(&self) -> watch::Receiver<Readiness> {
        self.told.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_is_ready_when_nothing_is_missing_and_names_the_first_thing_that_is() {
        let board = ReadinessBoard::starting();
        let told = board.subscribe();
        let now = || told.borrow().clone();
        assert_eq!(now().reason, "starting");
        board.update(|c| c.recovering = None);
        board.update(|c| c.forming = Some("waiting for members: 2 of 3 are there (a, b)".into()));
        assert_eq!(now(), Readiness { ready: false, reason: "waiting for members: 2 of 3 are there (a, b)".into() });
        board.update(|c| c.forming = None);
        assert_eq!(now().reason, "no leader is known");
        board.update(|c| c.leaderless = Some(Leaderless::Alone));
        assert!(now().reason.starts_with("a majority of the members does not answer"));
        // Then one of them can be had back at once.
        board.update(|c| c.drained = true);
        assert!(now().reason.contains("drain --undo"), "{}", now().reason);
        board.update(|c| c.drained = false);
        board.update(|c| c.leaderless = None);
        assert!(now().reason.starts_with("catching up with the leader"));
        board.update(|c| c.caught_up = true);
        assert_eq!(now(), Readiness { ready: true, reason: String::new() });
        board.update(|c| c.draining = true);
        assert!(!now().ready);
    }

    #[test]
    fn listeners_are_woken_only_by_a_change() {
        let board = ReadinessBoard::starting();
        let mut told = board.subscribe();
        board.update(|c| (c.leaderless, c.caught_up) = (None, true));
        assert!(!told.has_changed().unwrap(), "still starting");
        board.update(|c| c.recovering = None);
        assert!(told.has_changed().unwrap());
        told.mark_unchanged();
    }
}
