//! A member's state: ordered maps in memory, or the real state store over files or over a disk that tears.

use std::hash::{DefaultHasher, Hasher};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use graft_machine::command::LogEntry;
use graft_machine::memory::Memory;
use graft_machine::state::{StateRead, StateTx};
use graft_machine::tables::{self, Prefix, Table};
use graft_machine::{Applied, apply_entry};
use graftd::storage::{AppliedMark, Latest, StateOptions, StateStore, StorageError};
use tempfile::TempDir;

use super::log::PowerCut;
use super::member::Config;
use super::plan::Disks;
use super::rng::Rng;
use crate::power::Medium as Disk;

/// How far a state has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Mark {
    /// Index of the last entry.
    pub index: usize,
    /// Its term.
    pub term: u64,
    /// The membership there.
    pub config: Rc<Config>,
}

impl Mark {
    fn encode(&self) -> AppliedMark {
        let log_id = self.term.to_be_bytes().to_vec().into();
        AppliedMark { index: self.index as u64, log_id, membership: self.config.encode().into() }
    }

    fn decode(mark: &AppliedMark) -> Self {
        let term = mark.log_id.as_ref().try_into().map_or(0, u64::from_be_bytes);
        Self { index: mark.index as usize, term, config: Rc::new(Config::decode(&mark.membership)) }
    }
}

/// A state on its way to another member.
#[derive(Clone, Debug)]
pub enum Image {
    /// As the machine encodes it.
    Records(Mark, Rc<Vec<u8>>),
    /// As the store sends it.
    Chunks(Mark, Vec<Bytes>),
}

impl Image {
    /// What it says that it holds.
    pub fn mark(&self) -> &Mark {
        match self {
            Self::Records(mark, _) | Self::Chunks(mark, _) => mark,
        }
    }
}

/// What a store stands on.
pub enum Place {
    /// A file.
    File(TempDir),
    /// A disk that tears.
    Disk(Disk),
}

/// See the module.
pub enum State {
    /// In memory: the state, and what a flush has left of it.
    Memory { live: Memory, mark: Mark, flushed: Memory, flushed_mark: Mark },
    /// The real store; none while the process does not run.
    Store { store: Option<StateStore>, place: Place, image: Vec<u8>, flushed: Mark },
}

/// Reads a state of either kind.
pub enum Reader<'a> {
    /// In memory.
    Memory(&'a Memory),
    /// The store's newest.
    Latest(Latest<'a>),
}

impl StateRead for Reader<'_> {
    fn get<T: Table>(&self, key: &T::Key) -> Option<Arc<T::Value>> {
        match self {
            Self::Memory(memory) => memory.get::<T>(key),
            Self::Latest(latest) => latest.get::<T>(key),
        }
    }

    fn scan<T: Table>(&self, prefix: &[u8], after: Option<&T::Key>, limit: usize) -> Vec<(T::Key, Arc<T::Value>)> {
        match self {
            Self::Memory(memory) => memory.scan::<T>(prefix, after, limit),
            Self::Latest(latest) => latest.scan::<T>(prefix, after, limit),
        }
    }
}

macro_rules! for_each_table {
    ($do:ident!($($args:tt)*)) => {
        $do!(($($args)*) Names Workflows Tasks Scopes ReadyTasks BlockedTasks Timers IdempotencyKeys Events RunEvents TaskEvents StatusList
            LabelList TimeList Requests RequestExpiry Sessions Limits Counters Meta TaskList DeadLetters StatusCounts AttemptEvents JoinGrants
            ApiTokens Acts)
    };
}

macro_rules! copy_tables {
    (($from:ident, $to:ident) $($table:ident)*) => {
        $(
            for (key, value) in $from.scan::<tables::$table>(Prefix::new().as_bytes(), None, usize::MAX) {
                $to.put_shared::<tables::$table>(key, value);
            }
        )*
        const { assert!([$(stringify!($table)),*].len() == tables::TableId::ALL.len(), "every table is copied") }
    };
}

fn copy_into(from: &impl StateRead, to: &mut impl StateTx) {
    for_each_table!(copy_tables!(from, to));
}

/// A state's content, in memory.
pub fn copy_of(state: &impl StateRead) -> Memory {
    let mut copy = Memory::new();
    copy_into(state, &mut copy);
    copy
}

/// Hash of a state's content.
pub fn hash(state: &Memory) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&state.encode());
    hasher.finish()
}

/// Flushed only when it is asked for: so that nothing depends on the store's thread.
fn options() -> StateOptions {
    StateOptions { cache_bytes: 1 << 20, overlay_bytes: 64 << 20, flush_interval_ms: 3_600_000 }
}

fn file(directory: &TempDir) -> PathBuf {
    directory.path().join("state.redb")
}

fn text(error: StorageError) -> String {
    error.to_string()
}

impl State {
    /// An empty state.
    pub fn new(disks: Disks) -> Self {
        let store = |place: Place| {
            let store = match &place {
                Place::File(directory) => StateStore::open(&file(directory), options(), None),
                Place::Disk(disk) => StateStore::open_backend(disk.clone(), options()),
            };
            Self::Store { store: Some(store.expect("an empty disk takes a state")), place, image: Vec::new(), flushed: Mark::default() }
        };
        match disks {
            Disks::Model => {
                Self::Memory { live: Memory::new(), mark: Mark::default(), flushed: Memory::new(), flushed_mark: Mark::default() }
            }
            Disks::Files => store(Place::File(tempfile::tempdir().expect("a temporary directory"))),
            Disks::Torn => store(Place::Disk(Disk::default())),
        }
    }

    fn store(&self) -> &StateStore {
        match self {
            Self::Store { store: Some(store), .. } => store,
            _ => unreachable!("asked for of a store that is open"),
        }
    }

    /// The newest state.
    pub fn reader(&self) -> Reader<'_> {
        match self {
            Self::Memory { live, .. } => Reader::Memory(live),
            Self::Store { .. } => Reader::Latest(self.store().latest()),
        }
    }

    /// The newest state, in memory.
    pub fn copy(&self) -> Memory {
        match self {
            Self::Memory { live, .. } => live.clone(),
            Self::Store { .. } => copy_of(&self.store().view()),
        }
    }

    /// How far it has come.
    pub fn mark(&self) -> Mark {
        match self {
            Self::Memory { mark, .. } => mark.clone(),
            Self::Store { .. } => Mark::decode(&self.store().applied()),
        }
    }

    /// How far it has come on disk, as whoever purges the log is told.
    pub fn flushed(&self) -> Mark {
        match self {
            Self::Memory { flushed_mark, .. } => flushed_mark.clone(),
            Self::Store { store: Some(store), .. } => Mark::decode(&store.flushed()),
            Self::Store { flushed, .. } => flushed.clone(),
        }
    }

    /// Applies an entry.
    pub fn apply(&mut self, at: Mark, entry: &LogEntry) -> Vec<Applied> {
        let index = at.index as u64;
        match self {
            Self::Memory { live, mark, .. } => {
                *mark = at;
                if entry.commands.is_empty() { Vec::new() } else { apply_entry(live, index, entry) }
            }
            Self::Store { .. } => {
                let mut tx = self.store().begin();
                let applied = if entry.commands.is_empty() { Vec::new() } else { apply_entry(&mut tx, index, entry) };
                tx.finish(at.encode());
                applied
            }
        }
    }

    /// Flushes everything.
    pub fn flush(&mut self) -> Result<(), PowerCut> {
        match self {
            Self::Memory { live, mark, flushed, flushed_mark } => (*flushed, *flushed_mark) = (live.clone(), mark.clone()),
            Self::Store { .. } => drop(self.store().flush().map_err(|_| PowerCut)?),
        }
        Ok(())
    }

    /// The state for another member, after a flush.
    pub fn image(&mut self) -> Result<Image, PowerCut> {
        self.flush()?;
        let mark = self.mark();
        match self {
            Self::Store { store: Some(store), place: Place::File(_), .. } => {
                let mut reader = store.snapshot();
                let mark = Mark::decode(reader.mark());
                let chunks = std::iter::from_fn(|| reader.next_chunk().expect("a flushed state can be read")).collect();
                Ok(Image::Chunks(mark, chunks))
            }
            _ => Ok(Image::Records(mark, Rc::new(self.copy().encode()))),
        }
    }

    /// Replaces the state.
    pub fn install(&mut self, image: &Image) -> Result<(), String> {
        match (self, image) {
            (Self::Memory { live, mark, flushed, flushed_mark }, Image::Records(at, bytes)) => {
                *live = Memory::decode(bytes)?;
                *flushed = live.clone();
                (*mark, *flushed_mark) = (at.clone(), at.clone());
            }
            (Self::Store { store, place: Place::Disk(disk), .. }, Image::Records(at, bytes)) => {
                // The real way goes over files; here a new disk takes the place of the old.
                let state = Memory::decode(bytes)?;
                *disk = Disk::default();
                let fresh = StateStore::open_backend(disk.clone(), options()).map_err(text)?;
                let mut tx = fresh.begin();
                copy_into(&state, &mut tx);
                tx.finish(at.encode());
                fresh.flush().map_err(text)?;
                *store = Some(fresh);
            }
            (Self::Store { store: Some(store), .. }, Image::Chunks(at, chunks)) => {
                let mut writer = store.receive_snapshot().map_err(text)?;
                for chunk in chunks {
                    writer.write_chunk(chunk).map_err(text)?;
                }
                let mark = store.check(writer).and_then(|checked| store.install(checked)).map_err(text)?;
                if Mark::decode(&mark) != *at {
                    return Err(format!("D4: a snapshot of {at:?} was installed as {mark:?}"));
                }
            }
            _ => unreachable!("all members of a seed keep their states alike"),
        }
        Ok(())
    }

    /// The power goes after so many more writes to the disk, if there is one.
    pub fn cut_after(&self, operations: u64) -> bool {
        match self {
            Self::Store { place: Place::Disk(disk), .. } => {
                disk.cut_after(operations);
                true
            }
            _ => false,
        }
    }

    /// The process ends: with the power, or alone.
    pub fn stop(&mut self, power: bool, rng: &mut Rng) {
        let Self::Store { store, place, image, flushed } = self else { return };
        let Some(open) = store.take() else { return };
        *flushed = Mark::decode(&open.flushed());
        match place {
            // What a kill leaves: the file as it is, never closed.
            Place::File(directory) => *image = std::fs::read(file(directory)).expect("the file is there"),
            Place::Disk(disk) => *image = if power { disk.image(rng) } else { disk.as_written() },
        }
        drop(open);
    }

    /// The process starts: what is durable is there.
    pub fn open(&mut self, rng: &mut Rng) -> Result<(), String> {
        match self {
            Self::Memory { live, mark, flushed, flushed_mark } => (*live, *mark) = (flushed.clone(), flushed_mark.clone()),
            Self::Store { store, place, image, .. } => {
                let image = std::mem::take(image);
                let opened = match place {
                    Place::File(directory) => {
                        std::fs::write(file(directory), image).map_err(|error| error.to_string())?;
                        StateStore::open(&file(directory), options(), None)
                    }
                    Place::Disk(disk) => {
                        *disk = Disk::of(image);
                        if rng.chance(300) {
                            // The power goes again, while the file is being repaired.
                            disk.cut_after(rng.below(30));
                            drop(StateStore::open_backend(disk.clone(), options()));
                            *disk = Disk::of(disk.image(rng));
                        }
                        StateStore::open_backend(disk.clone(), options())
                    }
                };
                *store = Some(opened.map_err(text)?);
            }
        }
        Ok(())
    }
}
