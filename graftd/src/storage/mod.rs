//! Two redb files and what lives between them and the machine. Synchronous; knows no raft and no tokio.
//!
//! **`state.redb`** holds the machine's tables. Applied changes do not go there at once: they stay in an *overlay* of typed records that
//! reads look through, and a thread flushes them in the background, together with the mark that says how far they reach. What is lost
//! with the overlay is in the raft log, and is applied again.
//!
//! **`log.redb`** holds the log, the vote and the committed id. One thread writes it; whatever waits shares one durable commit. What was
//! written last is kept in memory, for apply and replication.
//!
//! | file | what it tells |
//! |---|---|
//! | `overlay` | a generation: the records between two freezes |
//! | `layers` | reading through generations and file |
//! | `state_store` | the lock, views, backpressure |
//! | `view` | entry, latest, view: the three ways to the state |
//! | `flush` | the thread that carries the overlay to disk |
//! | `snapshot`, `install` | the state as a stream; replacing it by one |
//! | `rebuild` | lists and counts that an earlier version did not keep |
//! | `log`, `log_tail`, `log_sizes`, `log_writer` | the log, its memory, its weight, its thread |
//! | `disk` | what is done to files, so that another disk can lie below |
//! | `work` | what the two threads do, in steps |
//! | `file`, `state_file`, `codec`, `error` | what the bytes are, and what can go wrong |
//!
//! Any IO error fails a store for good: waiters wake, `failure` tells, and nothing more is acknowledged. The member stops.

use bytes::Bytes;

mod codec;
mod disk;
mod error;
mod file;
mod flush;
mod install;
mod layers;
mod log;
mod log_sizes;
mod log_tail;
mod log_writer;
mod overlay;
mod rebuild;
mod snapshot;
mod state_file;
mod state_store;
mod view;
mod work;

pub use disk::{Disk, RealDisk};
pub use error::{Fault, StorageError};
pub use install::CheckedSnapshot;
pub use log::{Durable, LogOptions, LogRecovered, LogStore, StoredEntry};
pub use snapshot::{SNAPSHOT_CHUNK_BYTES, SnapshotReader, SnapshotWriter};
pub use state_store::{StateOptions, StateStore};
pub use work::Work;
// Reachable for the tests that feed them damaged bytes.
#[doc(hidden)]
pub use codec::{decode_indexed, decode_mark, encode_indexed, encode_mark};
#[doc(hidden)]
pub use snapshot::SnapshotParser;
pub use view::{EntryTx, Latest, View};

/// How far the state has come. `log_id` and `membership` are opaque here: consensus encodes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AppliedMark {
    /// Index of the last applied entry; 0 = none.
    pub index: u64,
    /// Its log id, encoded.
    pub log_id: Bytes,
    /// The last membership, encoded.
    pub membership: Bytes,
}
