//! The leader's stamp: the machine's time, which never goes back and which one wrong clock neither races nor freezes.
//!
//! From the last stamp that was applied here it advances with this member's monotonic clock, and is drawn towards the wall clock by at most a
//! tenth of the time that passes. Only a member that has applied no entry since it started (so that it cannot know how long the cluster
//! was away) takes the wall clock at once, and only forward.

use std::sync::Mutex;

use crate::clock::Clock;

/// How often the time is drawn towards the wall clock, in milliseconds.
const DRAW_EVERY_MS: u64 = 100;
/// It is drawn by at most one part in so many.
const DRAW_PART: u64 = 10;

/// Keeps the machine's time. Shared by apply, which hears stamps, and the proposer, which makes them.
#[derive(Debug)]
pub struct StampClock {
    clock: Clock,
    course: Mutex<Course>,
}

#[derive(Debug)]
struct Course {
    /// The highest time that was heard or issued.
    highest: u64,
    /// Monotonic and machine's time at one moment; none before the first entry since the start.
    anchor: Option<(u64, u64)>,
}

impl Course {
    /// The time that this course has come to.
    fn at(&self, now: u64, wall: u64) -> u64 {
        let Some((since, from)) = self.anchor else { return wall };
        let passed = now.saturating_sub(since);
        let time = from + passed;
        let most = if passed >= DRAW_EVERY_MS { passed / DRAW_PART } else { 0 };
        if wall > time { time + (wall - time).min(most) } else { time - (time - wall).min(most) }
    }
}

impl StampClock {
    /// Starts from the machine's time in the recovered state; 0 = there is none.
    pub fn new(clock: Clock, recovered: u64) -> Self {
        Self { clock, course: Mutex::new(Course { highest: recovered, anchor: None }) }
    }

    /// An entry was replayed after which the machine's time was this: it says nothing about now, but stamps are never lower.
    pub fn recalled(&self, time: u64) {
        let mut course = self.lock();
        course.highest = course.highest.max(time);
    }

    /// An entry after which the machine's time was this was applied now, or a snapshot of that time installed. (Not for entries that are
    /// replayed at the start: see [`Self::recalled`].)
    pub fn heard(&self, time: u64) {
        let now = self.clock.monotonic_ms();
        let mut course = self.lock();
        if time > course.highest {
            course.highest = time;
            course.anchor = Some((now, time));
        }
    }

    /// The stamp of an entry that is proposed now.
    pub fn stamp(&self) -> u64 {
        let mut course = self.lock();
        let now = self.clock.monotonic_ms();
        let came_to = course.at(now, self.clock.wall_ms());
        let time = came_to.max(course.highest);
        // Below the step the course is not moved, or a tenth of less than ten milliseconds would always be nothing.
        let step = course.anchor.is_none_or(|(since, _)| now.saturating_sub(since) >= DRAW_EVERY_MS);
        if step || came_to < time {
            course.anchor = Some((now, time));
        }
        course.highest = time;
        time
    }

    /// What the machine's time should be now, on any member: it may lead the next stamp, or be behind it, by what the clocks differ.
    pub fn estimate(&self) -> u64 {
        let course = self.lock();
        course.at(self.clock.monotonic_ms(), self.clock.wall_ms()).max(course.highest)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Course> {
        self.course.lock().expect("no panic while the time is held")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_cluster_starts_at_the_wall_clock_and_follows_it() {
        let clock = Clock::manual(1_000_000);
        let stamps = StampClock::new(clock.clone(), 0);
        assert_eq!(stamps.stamp(), 1_000_000);
        clock.advance(40);
        assert_eq!(stamps.stamp(), 1_000_040);
    }

    #[test]
    fn a_wall_clock_that_stands_behind_does_not_take_time_back() {
        let clock = Clock::manual(1_000);
        let stamps = StampClock::new(clock.clone(), 5_000);
        assert_eq!(stamps.stamp(), 5_000);
        clock.advance(1_000);
        assert_eq!(stamps.stamp(), 5_900, "it advances, drawn back by a tenth");
    }

    #[test]
    fn a_new_leader_whose_clock_is_far_ahead_advances_by_a_tenth_at_most() {
        let clock = Clock::manual(1_000_000_000);
        let stamps = StampClock::new(clock.clone(), 0);
        stamps.heard(5_000);
        clock.advance(1_000);
        assert_eq!(stamps.stamp(), 6_100);
    }

    #[test]
    fn a_wall_clock_that_jumps_moves_the_estimate_no_more_than_the_stamps() {
        let clock = Clock::manual(1_000_000);
        let stamps = StampClock::new(clock.clone(), 0);
        stamps.heard(5_000_000);
        clock.advance(1_000);
        assert_eq!(stamps.estimate(), 5_000_900);
        assert_eq!(stamps.estimate(), 5_000_900, "asking changes nothing");
        assert_eq!(stamps.stamp(), 5_000_900);
    }

    #[test]
    fn what_is_replayed_is_a_floor_and_no_anchor() {
        let stamps = StampClock::new(Clock::manual(9_000), 5_000);
        stamps.recalled(7_000);
        assert_eq!(stamps.estimate(), 9_000);
        stamps.recalled(10_000);
        assert_eq!((stamps.estimate(), stamps.stamp()), (10_000, 10_000));
    }

    #[test]
    fn a_restarted_member_takes_the_time_that_the_cluster_was_away_from_the_wall_clock() {
        let stamps = StampClock::new(Clock::manual(9_000), 5_000);
        assert_eq!(stamps.stamp(), 9_000);
    }
}
