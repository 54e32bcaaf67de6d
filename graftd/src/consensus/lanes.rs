//! What waits for an entry of the log, in two lanes: the commands of the leader's own scheduler, and what clients ask for.
//!
//! Results, losses and timers go first: each of them ends something, and makes room. How many there can be is bounded by the attempts that are
//! held, so they do not keep clients out for long; and a part of every entry is left to clients that wait, so they never do.
//!
//! A cluster has more than enough when clients have waited for a while and the scheduler has commands to be written as well. From then on, until
//! no client waits, an entry takes at most half as many commands of clients as of the scheduler, and new starts are refused while a full
//! entry of commands waits: what is taken on is worked off, and what is not is told so at once. Without work of its own to protect, a leader
//! takes all starts that fit, however long they wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// A client that has waited for so long is a sign of more than enough.
const WAITED_LONG: Duration = Duration::from_millis(100);
/// The part of an entry that is left to clients that wait, however much the scheduler has: one of so many.
const LEFT_TO_CLIENTS: usize = 8;
/// With more than enough, clients have one command in an entry for so many of the scheduler.
const OWN_FOR_ONE: usize = 2;
/// Commands of clients that an entry takes all the same.
const CLIENTS_MIN: usize = 16;

/// What the lanes ask of a group of commands.
pub(super) trait Waits {
    /// Commands and bytes.
    fn size(&self) -> (usize, usize);
    /// Since when it has waited.
    fn since(&self) -> Instant;
    /// Whether it is of the leader's own scheduler.
    fn is_own(&self) -> bool;
}

/// How much waits, for whoever decides whether to take on more.
#[derive(Debug, Default)]
pub(super) struct Pressure {
    asked: AtomicUsize,
    more_than_enough: AtomicBool,
}

impl Pressure {
    /// Clients have asked for so many commands more.
    pub(super) fn asked(&self, commands: usize) {
        self.asked.fetch_add(commands, Ordering::Relaxed);
    }

    /// So many of them wait no longer.
    pub(super) fn taken(&self, commands: usize) {
        self.asked.fetch_sub(commands, Ordering::Relaxed);
    }

    /// Whether starts are to be refused: more than enough waits, and at least an entry of it.
    pub(super) fn sheds(&self, entry_commands: usize) -> bool {
        self.more_than_enough.load(Ordering::Relaxed) && self.asked.load(Ordering::Relaxed) >= entry_commands
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    own: VecDeque<T>,
    asked: VecDeque<T>,
    more_than_enough: bool,
}

/// Room in one entry.
#[derive(Debug)]
pub(super) struct Room {
    commands: usize,
    bytes: usize,
    /// Commands that the scheduler may still add.
    own: usize,
    own_taken: usize,
    asked_taken: usize,
}

impl<T: Waits> Lanes<T> {
    pub(super) fn new() -> Self {
        Self { own: VecDeque::new(), asked: VecDeque::new(), more_than_enough: false }
    }

    pub(super) fn push(&mut self, group: T) {
        if group.is_own() { self.own.push_back(group) } else { self.asked.push_back(group) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.asked.is_empty()
    }

    /// Takes out everything that waits and is not to.
    pub(super) fn take_if(&mut self, mut gone: impl FnMut(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for lane in [&mut self.own, &mut self.asked] {
            let (out, stays): (VecDeque<T>, VecDeque<T>) = std::mem::take(lane).into_iter().partition(|group| gone(group));
            *lane = stays;
            taken.extend(out);
        }
        taken
    }

    /// Begins an entry of at most so many commands and bytes.
    pub(super) fn begin(&mut self, (commands, bytes): (usize, usize), now: Instant, pressure: &Pressure) -> Room {
        match self.asked.front() {
            None => self.more_than_enough = false,
            Some(first) if !self.own.is_empty() && now.saturating_duration_since(first.since()) >= WAITED_LONG => {
                self.more_than_enough = true;
            }
            Some(_) => {}
        }
        pressure.more_than_enough.store(self.more_than_enough, Ordering::Relaxed);
        let left = if self.asked.is_empty() { 0 } else { commands / LEFT_TO_CLIENTS };
        Room { commands, bytes, own: commands - left, own_taken: 0, asked_taken: 0 }
    }

    /// The next group of the entry; `None`: it is full, or nothing waits that may go into it. The first one always fits.
    pub(super) fn next(&mut self, room: &mut Room) -> Option<T> {
        let first = room.own_taken + room.asked_taken == 0;
        let fits = |size: (usize, usize)| first || (size.0 <= room.commands && size.1 <= room.bytes);
        if let Some(size) = self.own.front().map(Waits::size)
            && fits(size)
            && (first || size.0 <= room.own)
        {
            room.own = room.own.saturating_sub(size.0);
            room.own_taken += size.0;
            room.take(size);
            return self.own.pop_front();
        }
        let size = self.asked.front().map(Waits::size)?;
        let share = if self.more_than_enough && room.own_taken > 0 { (room.own_taken / OWN_FOR_ONE).max(CLIENTS_MIN) } else { usize::MAX };
        if !fits(size) || room.asked_taken.saturating_add(size.0) > share.max(size.0) {
            return None;
        }
        room.asked_taken += size.0;
        room.take(size);
        self.asked.pop_front()
    }
}

impl Room {
    fn take(&mut self, (commands, bytes): (usize, usize)) {
        self.commands = self.commands.saturating_sub(commands);
        self.bytes = self.bytes.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    struct Group {
        name: String,
        commands: usize,
        bytes: usize,
        since: Instant,
        own: bool,
    }

    impl Waits for Group {
        fn size(&self) -> (usize, usize) {
            (self.commands, self.bytes)
        }
        fn since(&self) -> Instant {
            self.since
        }
        fn is_own(&self) -> bool {
            self.own
        }
    }

    const LIMITS: (usize, usize) = (64, 1_000);

    fn group(name: &str, own: bool, since: Instant) -> Group {
        Group { name: name.to_owned(), commands: 1, bytes: 10, since, own }
    }

    /// Fills both lanes: own commands `o0`…, asked ones `a0`….
    fn filled(own: usize, asked: usize, since: Instant) -> Lanes<Group> {
        let mut lanes = Lanes::new();
        (0..asked).for_each(|at| lanes.push(group(&format!("a{at}"), false, since)));
        (0..own).for_each(|at| lanes.push(group(&format!("o{at}"), true, since)));
        lanes
    }

    fn entry(lanes: &mut Lanes<Group>, now: Instant, pressure: &Pressure) -> Vec<String> {
        let mut room = lanes.begin(LIMITS, now, pressure);
        std::iter::from_fn(|| lanes.next(&mut room)).map(|group| group.name).collect()
    }

    fn count(entry: &[String], lane: char) -> usize {
        entry.iter().filter(|name| name.starts_with(lane)).count()
    }

    #[test]
    fn the_scheduler_goes_first_and_leaves_a_part_to_clients() {
        let now = Instant::now();
        let (mut lanes, pressure) = (filled(100, 100, now), Pressure::default());
        let first = entry(&mut lanes, now, &pressure);
        assert_eq!((count(&first, 'o'), count(&first, 'a'), first.len()), (56, 8, 64));
        assert_eq!((first[0].as_str(), first[56].as_str()), ("o0", "a0"), "each lane in its order");
        let second = entry(&mut lanes, now, &pressure);
        assert_eq!((count(&second, 'o'), count(&second, 'a')), (44, 20));
        assert_eq!(entry(&mut filled(100, 0, now), now, &pressure).len(), 64, "nobody waits");
    }

    #[test]
    fn with_more_than_enough_clients_get_a_share_until_none_waits() {
        let began = Instant::now();
        let (mut lanes, pressure) = (filled(40, 100, began), Pressure::default());
        pressure.asked(100);
        let later = began + WAITED_LONG;
        let first = entry(&mut lanes, later, &pressure);
        assert_eq!((count(&first, 'o'), count(&first, 'a')), (40, 20));
        pressure.taken(20);
        assert!(pressure.sheds(64) && !pressure.sheds(100));
        // Without work of its own it takes what fits, and it is over when nobody waits.
        assert_eq!(entry(&mut lanes, later, &pressure).len(), 64);
        assert_eq!(entry(&mut lanes, later, &pressure).len(), 16);
        assert!(entry(&mut lanes, later, &pressure).is_empty());
        assert!(!pressure.sheds(0));
    }

    #[test]
    fn clients_that_wait_for_nothing_but_each_other_are_no_sign_of_it() {
        let began = Instant::now();
        let (mut lanes, pressure) = (filled(0, 200, began), Pressure::default());
        pressure.asked(200);
        assert_eq!(entry(&mut lanes, began + 10 * WAITED_LONG, &pressure).len(), 64);
        assert!(!pressure.sheds(1));
    }

    #[test]
    fn what_is_larger_than_an_entry_gets_one_for_itself_and_what_does_not_fit_waits() {
        let now = Instant::now();
        let mut lanes = Lanes::new();
        let huge = |name: &str, own| Group { commands: 100, bytes: 5_000, ..group(name, own, now) };
        lanes.push(huge("o", true));
        lanes.push(huge("a", false));
        lanes.push(group("b", false, now));
        let pressure = Pressure::default();
        assert_eq!(entry(&mut lanes, now, &pressure), ["o"]);
        assert_eq!(entry(&mut lanes, now, &pressure), ["a"]);
        assert_eq!(entry(&mut lanes, now, &pressure), ["b"]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn what_is_not_to_wait_is_taken_out_of_both_lanes() {
        let now = Instant::now();
        let mut lanes = filled(3, 3, now);
        let out: Vec<String> = lanes.take_if(|group| group.name.ends_with('1')).into_iter().map(|group| group.name).collect();
        assert_eq!(out, ["o1", "a1"]);
        assert_eq!(entry(&mut lanes, now, &Pressure::default()), ["o0", "o2", "a0", "a2"]);
    }
}
