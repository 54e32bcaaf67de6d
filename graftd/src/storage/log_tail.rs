//! The log as memory knows it: which indexes there are, and the last entries themselves.
//!
//! An entry may leave the memory only when the write that carried it is durable (`Seq`), so that every index of the log is either here or
//! in the file, as it should be read.

use std::collections::VecDeque;

use super::log::StoredEntry;

/// Counts writes in the order in which they were asked for.
pub(super) type Seq = u64;

/// What an entry costs in memory beside its bytes, roughly.
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
pub(super) struct Tail {
    /// First index that is not purged.
    first: u64,
    /// The index that the next entry has; `None` while the log is empty and was never purged: it may begin anywhere.
    next: Option<u64>,
    /// Contiguous, up to `next`.
    entries: VecDeque<(Seq, StoredEntry)>,
    bytes: usize,
    limit: usize,
    durable: Seq,
    /// Changes whenever entries have vanished: a read from the file that overlaps such a moment is done again.
    cuts: u64,
}

impl Tail {
    pub(super) fn new(first: u64, next: Option<u64>, limit: usize) -> Self {
        Self { first, next, entries: VecDeque::new(), bytes: 0, limit, durable: 0, cuts: 0 }
    }

    pub(super) fn cuts(&self) -> u64 {
        self.cuts
    }

    /// Takes entries that follow on the last; `Err` tells why they do not.
    pub(super) fn append(&mut self, seq: Seq, entries: &[StoredEntry]) -> Result<(), String> {
        let Some(head) = entries.first() else { return Ok(()) };
        let next = self.next.unwrap_or(head.index);
        for (entry, expected) in entries.iter().zip(next..) {
            if entry.index != expected {
                return Err(format!("entry {} follows on entry {}: the log has no holes", entry.index, expected.wrapping_sub(1)));
            }
        }
        if self.next.is_none() {
            self.first = head.index;
        }
        self.next = Some(next + entries.len() as u64);
        for entry in entries {
            self.bytes += cost(entry);
            self.entries.push_back((seq, entry.clone()));
        }
        Ok(())
    }

    pub(super) fn truncate_after(&mut self, index: u64) {
        let Some(next) = self.next else { return };
        let kept = if index == 0 { self.first } else { (index + 1).max(self.first) };
        if kept >= next {
            return;
        }
        self.cuts += 1;
        while self.entries.back().is_some_and(|(_, entry)| entry.index >= kept) {
            if let Some((_, entry)) = self.entries.pop_back() {
                self.bytes -= cost(&entry);
            }
        }
        self.next = if kept == 0 { None } else { Some(kept) };
    }

    pub(super) fn purge(&mut self, index: u64) {
        if index < self.first {
            return;
        }
        self.cuts += 1;
        self.first = index + 1;
        self.next = Some(self.next.map_or(self.first, |next| next.max(self.first)));
        while self.entries.front().is_some_and(|(_, entry)| entry.index <= index) {
            self.drop_front();
        }
    }

    /// Everything up to `seq` is durable: the oldest entries may go.
    pub(super) fn durable(&mut self, seq: Seq) {
        self.durable = seq;
        while self.bytes > self.limit && self.entries.front().is_some_and(|(seq, _)| *seq <= self.durable) {
            self.drop_front();
        }
    }

    fn drop_front(&mut self) {
        if let Some((_, entry)) = self.entries.pop_front() {
            self.bytes -= cost(&entry);
        }
    }

    /// The indexes of `start..end` that the log holds, and the first of them that is in memory (its end, if none is).
    pub(super) fn locate(&self, start: u64, end: u64) -> (u64, u64, u64) {
        let Some(next) = self.next else { return (start, start, start) };
        let start = start.max(self.first);
        let end = end.min(next);
        let memory = self.entries.front().map_or(next, |(_, entry)| entry.index);
        (start, memory.clamp(start, end.max(start)), end.max(start))
    }

    /// Entries from `start`, which is in memory, to before `end`, until `budget` is used up. The first is taken whatever it costs if
    /// nothing `taken` stands before it.
    pub(super) fn copy(&self, start: u64, end: u64, taken: bool, mut budget: usize) -> Vec<StoredEntry> {
        let mut out = Vec::new();
        let Some((_, front)) = self.entries.front() else { return out };
        for (_, entry) in self.entries.range((start - front.index) as usize..(end - front.index) as usize) {
            if (taken || !out.is_empty()) && entry.bytes.len() > budget {
                break;
            }
            budget = budget.saturating_sub(entry.bytes.len());
            out.push(entry.clone());
        }
        out
    }
}

fn cost(entry: &StoredEntry) -> usize {
    ENTRY_BYTES + entry.bytes.len()
}
