//! A backup: the whole state at one index, as the bytes that members send to each other, which check themselves.
//!
//! The state is flushed first and read from one commit of the file, beside everything else that goes on; what was acknowledged before the call is in
//! it. A reader pins the pages of its commit, so only a few may read at a time, and one that takes nothing is let go (`taken`).

use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, stream};
use graft_proto::errors::{ErrorCode, Fault};
use graft_proto::v1;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::Shared;
use crate::storage::SnapshotReader;

/// Backups that are read from a member at a time.
pub const SNAPSHOTS_MAX: usize = 2;

/// What `Snapshot` answers with.
pub(super) type Pieces = Pin<Box<dyn Stream<Item = Result<v1::SnapshotResponse, Status>> + Send>>;

/// A snapshot that is being read.
struct Reading {
    shared: Arc<Shared>,
    reader: SnapshotReader,
    _place: OwnedSemaphorePermit,
}

/// The state from now on, in pieces.
pub(super) async fn snapshot(shared: Arc<Shared>) -> Result<Pieces, Fault> {
    let Ok(place) = shared.snapshots.clone().try_acquire_owned() else {
        let detail = format!("sends {SNAPSHOTS_MAX} snapshots already, as many as it may at a time");
        return Err(Fault::new(ErrorCode::Overloaded, "this member", detail).remedy("ask another member, or try again later"));
    };
    let reader = shared.api.consensus.snapshot().await.map_err(|error| shared.pointed_at_leader(error))?;
    Ok(Box::pin(stream::try_unfold(Reading { shared, reader, _place: place }, Reading::piece)))
}

impl Reading {
    async fn piece(mut self) -> Result<Option<(v1::SnapshotResponse, Self)>, Status> {
        if self.shared.shutdown.is_cancelled() {
            return Err(Fault::shutting_down().into());
        }
        // It reads from the disk: not on a thread of the runtime.
        let read = tokio::task::spawn_blocking(move || (self.reader.next_chunk(), self)).await;
        let failed = |why: String| Status::from(Fault::new(ErrorCode::Internal, "the state", format!("cannot be read: {why}")));
        let (chunk, reading) = read.map_err(|error| failed(error.to_string()))?;
        let chunk = chunk.map_err(|error| failed(error.to_string()))?;
        Ok(chunk.map(|piece| (v1::SnapshotResponse { piece }, reading)))
    }
}
