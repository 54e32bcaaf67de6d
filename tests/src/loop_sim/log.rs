//! A member's log and vote: in memory, with what is synced of it; on some seeds over the real log store.

use std::rc::Rc;
use std::sync::mpsc::channel;

use bytes::Bytes;
use graft_machine::command::LogEntry;
use graftd::storage::{Durable, LogOptions, LogStore, StoredEntry};
use prost::Message;

use super::member::Config;
use super::rng::Rng;
use crate::power::Medium as Disk;

/// An entry of the log.
#[derive(Clone, Debug)]
pub struct Record {
    /// Term of the leader that wrote it.
    pub term: u64,
    /// What it says; without commands at the beginning of a term, and of a change of the membership.
    pub entry: Rc<LogEntry>,
    /// The membership from here on, if it changes.
    pub config: Option<Rc<Config>>,
}

/// The disk is gone: the power was cut.
#[derive(Clone, Copy, Debug)]
pub struct PowerCut;

struct Store {
    store: LogStore,
    disk: Disk,
}

/// What a log held when its process ended: what its store must give back.
struct Before {
    base: usize,
    synced: usize,
    terms: Vec<u64>,
    /// A change failed half-way: either is right.
    in_doubt: bool,
}

impl Before {
    /// Whether what the store gives back is what was there: all that was synced, and nothing that never was, or was deleted.
    fn check(&self, log: &Log) -> Result<(), String> {
        let end = self.base + self.terms.len();
        for (term, index) in self.terms.iter().zip(self.base + 1..).filter(|(_, index)| *index > log.base) {
            let found = log.term_at(index);
            if index <= self.synced && found != Some(*term) || found.is_some_and(|found| found != *term) {
                return Err(format!("entry {index} of its log was of term {term} (synced up to {}), and is of {found:?}", self.synced));
            }
        }
        if log.end() > end { Err(format!("its log ended at {end}, and ends at {} now", log.end())) } else { Ok(()) }
    }
}

/// See the module. Indexes count from 1; 0 = nothing.
#[derive(Default)]
pub struct Log {
    base: usize,
    base_term: u64,
    records: Vec<Record>,
    synced: usize,
    /// Every change of the membership that is known, and where it stands; the first is that of the state that it goes on from.
    configs: Vec<(usize, Rc<Config>)>,
    store: Option<Store>,
    /// What a stop has left of the store's disk.
    image: Option<Vec<u8>>,
    before: Option<Before>,
    in_doubt: bool,
}

fn options() -> LogOptions {
    LogOptions { cache_bytes: 1 << 20, tail_bytes: 1 << 20 }
}

fn encode(record: &Record) -> Bytes {
    let mut out = record.term.to_be_bytes().to_vec();
    let config = record.config.as_ref().map(|config| config.encode()).unwrap_or_default();
    out.push(u8::from(record.config.is_some()));
    out.push(config.len() as u8);
    out.extend(config);
    out.extend(record.entry.encode_to_vec());
    out.into()
}

fn decode(bytes: &[u8]) -> Option<Record> {
    let (term, rest) = bytes.split_first_chunk()?;
    let (&[has_config, length], rest) = rest.split_first_chunk()?;
    let (config, entry) = rest.split_at_checked(length as usize)?;
    let config = (has_config == 1).then(|| Rc::new(Config::decode(config)));
    Some(Record { term: u64::from_be_bytes(*term), entry: Rc::new(LogEntry::decode(entry).ok()?), config })
}

/// Waits until the store has made a change durable: so that nothing depends on its thread.
fn wait(ask: impl FnOnce(Durable)) -> Result<(), PowerCut> {
    let (sender, receiver) = channel();
    ask(Box::new(move |outcome| drop(sender.send(outcome))));
    receiver.recv().map_err(|_| PowerCut)?.map_err(|_| PowerCut)
}

impl Log {
    /// An empty log; `real`: over the real store.
    pub fn new(real: bool) -> Self {
        let open = || {
            let disk = Disk::default();
            let (store, _) = LogStore::open_backend(disk.clone(), options(), false).expect("an empty disk takes a log");
            Store { store, disk }
        };
        Self { store: real.then(open), ..Self::default() }
    }

    /// Term and index of the last entry.
    pub fn last(&self) -> (u64, usize) {
        (self.records.last().map_or(self.base_term, |record| record.term), self.end())
    }

    /// Index of the last entry.
    pub fn end(&self) -> usize {
        self.base + self.records.len()
    }

    /// It begins after this index.
    pub fn base(&self) -> usize {
        self.base
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// So much of it is durable.
    pub fn synced(&self) -> usize {
        self.synced
    }

    /// Term of an entry; of what is purged only the last is known.
    pub fn term_at(&self, index: usize) -> Option<u64> {
        if index == self.base { Some(self.base_term) } else { self.get(index).map(|record| record.term) }
    }

    /// An entry.
    pub fn get(&self, index: usize) -> Option<&Record> {
        self.records.get(index.checked_sub(self.base + 1)?)
    }

    /// Entries from an index on.
    pub fn from(&self, index: usize, most: usize) -> Vec<Record> {
        let start = index - self.base - 1;
        self.records[start..].iter().take(most).cloned().collect()
    }

    /// The membership, also before it is committed, and where it stands.
    pub fn config(&self) -> (usize, Rc<Config>) {
        self.configs.last().cloned().unwrap_or_default()
    }

    /// The membership at an index.
    pub fn config_at(&self, index: usize) -> Rc<Config> {
        self.configs.iter().rev().find(|(at, _)| *at <= index).map(|(_, config)| config.clone()).unwrap_or_default()
    }

    /// The memberships that stand after an index.
    pub fn configs_after(&self, index: usize) -> impl Iterator<Item = Rc<Config>> {
        self.configs.iter().filter(move |(at, _)| *at > index).map(|(_, config)| config.clone())
    }

    /// It goes on from a state with this membership.
    pub fn goes_on_from(&mut self, index: usize, config: Rc<Config>) {
        let later = self.records.iter().zip(self.base + 1..).filter(|(_, at)| *at > index);
        let later = later.filter_map(|(record, at)| Some((at, record.config.clone()?)));
        self.configs = std::iter::once((index, config)).chain(later).collect();
    }

    /// Appends; durable with the next [`Self::sync`].
    pub fn push(&mut self, record: Record) {
        if let Some(config) = &record.config {
            self.configs.push((self.end() + 1, config.clone()));
        }
        self.records.push(record);
    }

    /// Deletes the entries after `index`.
    pub fn truncate(&mut self, index: usize) -> Result<(), PowerCut> {
        self.records.truncate(index - self.base);
        self.configs.retain(|(at, _)| *at <= index);
        if self.synced > index {
            self.synced = index;
            self.change(|store, done| store.truncate_after(index as u64, done))?;
        }
        Ok(())
    }

    /// Deletes something of the store, if there is one.
    fn change(&mut self, ask: impl FnOnce(&LogStore, Durable)) -> Result<(), PowerCut> {
        let Some(Store { store, .. }) = &self.store else { return Ok(()) };
        let outcome = wait(|done| ask(store, done));
        self.in_doubt = outcome.is_err();
        outcome
    }

    /// Makes everything durable.
    pub fn sync(&mut self) -> Result<(), PowerCut> {
        if self.synced == self.end() {
            return Ok(());
        }
        if let Some(Store { store, .. }) = &self.store {
            let from = self.synced + 1;
            let records = self.from(from, usize::MAX);
            let entry = |(record, index)| StoredEntry { index: index as u64, bytes: encode(record) };
            let entries = records.iter().zip(from..).map(entry).collect();
            wait(|done| store.append(entries, done))?;
        }
        self.synced = self.end();
        Ok(())
    }

    /// Makes a vote durable.
    pub fn save_vote(&mut self, term: u64, candidate: u64) -> Result<(), PowerCut> {
        let Some(Store { store, .. }) = &self.store else { return Ok(()) };
        let vote = [term.to_be_bytes(), candidate.to_be_bytes()].concat();
        wait(|done| store.save_vote(vote.into(), done))
    }

    /// Deletes the entries up to `index`.
    pub fn purge(&mut self, index: usize) -> Result<(), PowerCut> {
        let index = index.min(self.synced);
        let Some(term) = self.term_at(index).filter(|_| index > self.base) else { return Ok(()) };
        self.records.drain(..index - self.base);
        (self.base, self.base_term) = (index, term);
        self.change(|store, done| store.purge(index as u64, term.to_be_bytes().to_vec().into(), done))
    }

    /// A snapshot of the state after `index` was installed: what follows it here stays if it fits, and goes otherwise.
    pub fn installed(&mut self, index: usize, term: u64) -> Result<(), PowerCut> {
        if self.term_at(index) == Some(term) && index <= self.synced {
            return self.purge(index);
        }
        self.truncate(index.clamp(self.base, self.end()))?;
        self.records.clear();
        (self.base, self.base_term, self.synced) = (index, term, index);
        self.change(|store, done| store.purge(index as u64, term.to_be_bytes().to_vec().into(), done))
    }

    /// The power goes after so many more writes to the disk, if there is one.
    pub fn cut_after(&self, operations: u64) -> bool {
        self.store.as_ref().map(|store| store.disk.cut_after(operations)).is_some()
    }

    /// The process ends: with the power, or alone.
    pub fn stop(&mut self, power: bool, rng: &mut Rng) {
        let terms = self.records.iter().map(|record| record.term).collect();
        self.before = Some(Before { base: self.base, synced: self.synced, terms, in_doubt: std::mem::take(&mut self.in_doubt) });
        if let Some(Store { store, disk }) = self.store.take() {
            self.image = Some(if power { disk.image(rng) } else { disk.as_written() });
            drop(store);
        } else if power {
            self.records.truncate(self.synced - self.base);
        }
    }

    /// The process starts: what is durable is there. Term and candidate of the last vote, where the store keeps it.
    pub fn open(&mut self) -> Result<Option<(u64, u64)>, String> {
        let Some(image) = self.image.take() else {
            self.synced = self.end();
            return Ok(None);
        };
        let disk = Disk::of(image);
        let (store, recovered) = LogStore::open_backend(disk.clone(), options(), false).map_err(|error| error.to_string())?;
        (self.base, self.base_term) = match &recovered.purged {
            Some((index, term)) => (*index as usize, u64::from_be_bytes(term.as_ref().try_into().map_err(|_| "a damaged term")?)),
            None => (0, 0),
        };
        let entries = store.read(self.base as u64 + 1, u64::MAX, usize::MAX).map_err(|error| error.to_string())?;
        let records = entries.iter().map(|entry| decode(&entry.bytes).ok_or_else(|| format!("entry {} is damaged", entry.index)));
        self.records = records.collect::<Result<_, _>>()?;
        self.synced = self.end();
        self.store = Some(Store { store, disk });
        if let Some(before) = self.before.take().filter(|before| !before.in_doubt) {
            before.check(self)?;
        }
        let vote = |bytes: Bytes| {
            let (term, candidate) = bytes.split_first_chunk::<8>()?;
            Some((u64::from_be_bytes(*term), u64::from_be_bytes(candidate.try_into().ok()?)))
        };
        // A disk without a vote says that there was none: that is what a lost one looks like.
        Ok(Some(recovered.vote.and_then(vote).unwrap_or((0, 0))))
    }
}
