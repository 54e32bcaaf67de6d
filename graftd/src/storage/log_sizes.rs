//! How large the entries of the log are: what bounds the log in bytes asks here. Eight bytes of memory per entry of the log.
//!
//! After a restart only the newest entries are looked at; the older ones count as much as those do on average.

use std::collections::VecDeque;

use super::log::StoredEntry;

#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// Index of the first entry.
    first: u64,
    /// Bytes that were counted before it.
    before: u64,
    /// Bytes that were counted when each entry was: `ends[0]` belongs to `first`.
    ends: VecDeque<u64>,
}

impl Sizes {
    /// The sizes of the entries `first..next`, of which the newest are known, the last one first.
    pub(super) fn rebuilt(first: u64, next: u64, newest: &[u64]) -> Self {
        let mean = newest.iter().sum::<u64>() / newest.len().max(1) as u64;
        let mut sizes = Self { first, ..Self::default() };
        let unknown = next.saturating_sub(first).saturating_sub(newest.len() as u64);
        for bytes in (0..unknown).map(|_| mean).chain(newest.iter().rev().copied()) {
            sizes.push(bytes);
        }
        sizes
    }

    /// Takes entries that follow on the last.
    pub(super) fn append(&mut self, entries: &[StoredEntry]) {
        if let (Some(head), true) = (entries.first(), self.ends.is_empty()) {
            self.first = head.index;
        }
        for entry in entries {
            self.push(entry.bytes.len() as u64);
        }
    }

    fn push(&mut self, bytes: u64) {
        self.ends.push_back(self.counted(u64::MAX) + bytes);
    }

    /// Forgets the entries after `index` (all, if 0).
    pub(super) fn truncate_after(&mut self, index: u64) {
        let kept = if index == 0 { 0 } else { (index + 1).saturating_sub(self.first) };
        self.ends.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
    }

    /// Forgets the entries up to `index`.
    pub(super) fn purge(&mut self, index: u64) {
        if index < self.first {
            return;
        }
        self.before = self.counted(index + 1);
        let gone = usize::try_from(index + 1 - self.first).unwrap_or(usize::MAX).min(self.ends.len());
        self.ends.drain(..gone);
        self.first = index + 1;
    }

    /// Bytes of the entries `start..end`, as far as the log has them.
    pub(super) fn between(&self, start: u64, end: u64) -> u64 {
        self.counted(end).saturating_sub(self.counted(start))
    }

    /// The first index from which on the entries before `end` have `bytes` at most.
    pub(super) fn first_within(&self, end: u64, bytes: u64) -> u64 {
        let least = self.counted(end).saturating_sub(bytes);
        if self.before >= least {
            return self.first.min(end);
        }
        let found = self.ends.partition_point(|counted| *counted < least);
        (self.first + found as u64 + 1).min(end)
    }

    /// What was counted before the entry at `index`.
    fn counted(&self, index: u64) -> u64 {
        let entries = index.saturating_sub(self.first).min(self.ends.len() as u64);
        if entries == 0 { self.before } else { self.ends[entries as usize - 1] }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn entries(range: std::ops::Range<u64>, bytes: usize) -> Vec<StoredEntry> {
        range.map(|index| StoredEntry { index, bytes: Bytes::from(vec![0; bytes]) }).collect()
    }

    #[test]
    fn bytes_are_counted_between_any_two_entries_through_purge_and_truncation() {
        let mut sizes = Sizes::default();
        sizes.append(&entries(5..10, 10));
        sizes.append(&entries(10..15, 100));
        assert_eq!(sizes.between(0, 100), 550);
        assert_eq!(sizes.between(8, 12), 220);
        sizes.purge(6);
        assert_eq!((sizes.between(0, 100), sizes.between(8, 12)), (530, 220));
        sizes.truncate_after(10);
        assert_eq!(sizes.between(0, 100), 130);
        sizes.append(&entries(11..12, 7));
        assert_eq!(sizes.between(10, 12), 107);
        sizes.purge(20);
        assert_eq!(sizes.between(0, 100), 0);
        sizes.append(&entries(21..23, 1));
        assert_eq!(sizes.between(21, 22), 1);
        sizes.truncate_after(0);
        assert_eq!(sizes.between(0, 100), 0);
    }

    #[test]
    fn the_first_entry_within_a_bound_is_found() {
        let mut sizes = Sizes::default();
        assert_eq!(sizes.first_within(1, 10), 0);
        sizes.append(&entries(1..11, 10));
        assert_eq!(sizes.first_within(11, 100), 1, "all fit");
        assert_eq!(sizes.first_within(11, 99), 2);
        assert_eq!(sizes.first_within(11, 30), 8);
        assert_eq!(sizes.first_within(11, 9), 11, "none fits");
        assert_eq!(sizes.first_within(6, 20), 4, "what comes later does not count");
        sizes.purge(4);
        assert_eq!(sizes.first_within(11, 1000), 5);
        assert_eq!(sizes.first_within(11, 30), 8);
    }

    #[test]
    fn entries_that_were_not_looked_at_count_as_the_others_do_on_average() {
        let sizes = Sizes::rebuilt(1, 11, &[30, 10]);
        assert_eq!(sizes.between(1, 11), 8 * 20 + 40);
        assert_eq!((sizes.between(9, 10), sizes.between(10, 11)), (10, 30));
        assert_eq!(Sizes::rebuilt(7, 7, &[]).between(0, 100), 0);
    }
}
