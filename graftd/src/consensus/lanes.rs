//! What waits for an entry of the log, in two lanes: the commands of the leader's own scheduler, and what clients ask for.
//!
//! Results, losses and timers go first: each of them ends something, and makes room. How many there can be is bounded by the attempts that are
//! held, so they do not keep clients out for long; and a part of every entry is left to clients that wait, so they never do.
//!
//! Whether a start gets here at all is the matter of the [`brake`](super::brake).

use std::collections::VecDeque;

/// The part of an entry that is left to clients that wait, however much the scheduler has: one of so many.
const LEFT_TO_CLIENTS: usize = 8;

/// What the lanes ask of a group of commands.
pub(super) trait Waits {
    /// Commands and bytes.
    fn size(&self) -> (usize, usize);
    /// Whether it is of the leader's own scheduler.
    fn is_own(&self) -> bool;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    own: VecDeque<T>,
    asked: VecDeque<T>,
}

/// Room in one entry.
#[derive(Debug)]
pub(super) struct Room {
    commands: usize,
    bytes: usize,
    /// Commands that the scheduler may still add.
    own: usize,
    is_empty: bool,
}

impl<T: Waits> Lanes<T> {
    pub(super) fn new() -> Self {
        Self { own: VecDeque::new(), asked: VecDeque::new() }
    }

    pub(super) fn push(&mut self, group: T) {
        if group.is_own() { self.own.push_back(group) } else { self.asked.push_back(group) }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.asked.is_empty()
    }

    /// Commands of clients that wait.
    pub(super) fn asked(&self) -> usize {
        self.asked.iter().map(|group| group.size().0).sum()
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
    pub(super) fn begin(&self, (commands, bytes): (usize, usize)) -> Room {
        let left = if self.asked.is_empty() { 0 } else { commands / LEFT_TO_CLIENTS };
        Room { commands, bytes, own: commands - left, is_empty: true }
    }

    /// The next group of the entry; `None`: it is full, or nothing waits that may go into it. The first one always fits.
    pub(super) fn next(&mut self, room: &mut Room) -> Option<T> {
        let (lane, size) = match (self.own.front().map(Waits::size), self.asked.front().map(Waits::size)) {
            (Some(size), _) if room.fits(size) && (room.is_empty || size.0 <= room.own) => {
                room.own = room.own.saturating_sub(size.0);
                (&mut self.own, size)
            }
            (_, Some(size)) if room.fits(size) => (&mut self.asked, size),
            _ => return None,
        };
        room.take(size);
        lane.pop_front()
    }
}

impl Room {
    fn fits(&self, (commands, bytes): (usize, usize)) -> bool {
        self.is_empty || (commands <= self.commands && bytes <= self.bytes)
    }

    fn take(&mut self, (commands, bytes): (usize, usize)) {
        self.is_empty = false;
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
        own: bool,
    }

    impl Waits for Group {
        fn size(&self) -> (usize, usize) {
            (self.commands, self.bytes)
        }
        fn is_own(&self) -> bool {
            self.own
        }
    }

    const LIMITS: (usize, usize) = (64, 1_000);

    fn group(name: &str, own: bool) -> Group {
        Group { name: name.to_owned(), commands: 1, bytes: 10, own }
    }

    /// Fills both lanes: own commands `o0`…, asked ones `a0`….
    fn filled(own: usize, asked: usize) -> Lanes<Group> {
        let mut lanes = Lanes::new();
        (0..asked).for_each(|at| lanes.push(group(&format!("a{at}"), false)));
        (0..own).for_each(|at| lanes.push(group(&format!("o{at}"), true)));
        lanes
    }

    fn entry(lanes: &mut Lanes<Group>) -> Vec<String> {
        let mut room = lanes.begin(LIMITS);
        std::iter::from_fn(|| lanes.next(&mut room)).map(|group| group.name).collect()
    }

    fn count(entry: &[String], lane: char) -> usize {
        entry.iter().filter(|name| name.starts_with(lane)).count()
    }

    #[test]
    fn the_scheduler_goes_first_and_leaves_a_part_to_clients() {
        let mut lanes = filled(100, 100);
        let first = entry(&mut lanes);
        assert_eq!((count(&first, 'o'), count(&first, 'a'), first.len()), (56, 8, 64));
        assert_eq!((first[0].as_str(), first[56].as_str()), ("o0", "a0"), "each lane in its order");
        let second = entry(&mut lanes);
        assert_eq!((count(&second, 'o'), count(&second, 'a')), (44, 20));
        assert_eq!(entry(&mut filled(100, 0)).len(), 64, "nobody waits");
    }

    #[test]
    fn what_is_larger_than_an_entry_gets_one_for_itself_and_what_does_not_fit_waits() {
        let mut lanes = Lanes::new();
        let huge = |name: &str, own| Group { commands: 100, bytes: 5_000, ..group(name, own) };
        lanes.push(huge("o", true));
        lanes.push(huge("a", false));
        lanes.push(group("b", false));
        assert_eq!(entry(&mut lanes), ["o"]);
        assert_eq!(entry(&mut lanes), ["a"]);
        assert_eq!(entry(&mut lanes), ["b"]);
        assert!(lanes.is_empty());
    }

    #[test]
    fn what_is_not_to_wait_is_taken_out_of_both_lanes() {
        let mut lanes = filled(3, 3);
        let out: Vec<String> = lanes.take_if(|group| group.name.ends_with('1')).into_iter().map(|group| group.name).collect();
        assert_eq!(out, ["o1", "a1"]);
        assert_eq!(entry(&mut lanes), ["o0", "o2", "a0", "a2"]);
    }
}
