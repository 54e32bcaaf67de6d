//! The whole state of the cluster, as a backup.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::try_unfold;
use graft_proto::v1::{SnapshotRequest, SnapshotResponse};

use crate::channel::{Kind, Place};
use crate::client::Client;
use crate::error::ClientError;

const OPERATION: &str = "save a snapshot";

/// A snapshot under way; the place is the stream's own, on its connection.
enum Snapshot {
    Asked(Client),
    Open(Box<tonic::Streaming<SnapshotResponse>>, Option<Place>),
}

impl Client {
    /// The whole state of the cluster at one moment, with everything in it that was acknowledged before the call, in pieces that are cut anywhere.
    /// All pieces together are a file for `graft cluster snapshot`; one that ends with an error is not whole.
    ///
    /// # Errors
    /// The stream's last item is an error if no member answers, the member sends as many as it may already, or the stream breaks.
    pub fn snapshot(&self) -> impl Stream<Item = Result<Bytes, ClientError>> + Send + Unpin + 'static {
        Box::pin(try_unfold(Snapshot::Asked(self.clone()), Snapshot::next))
    }
}

impl Snapshot {
    async fn next(self) -> Result<Option<(Bytes, Self)>, ClientError> {
        let (mut stream, place) = match self {
            Self::Open(stream, place) => (stream, place),
            Self::Asked(client) => {
                let call = |channel, request| {
                    let mut service = client.cluster_service(channel);
                    async move { service.snapshot(request).await }
                };
                let (stream, place) = client.call_in_place(OPERATION, Kind::Lasting(Duration::ZERO), SnapshotRequest {}, call).await?;
                (Box::new(stream), place)
            }
        };
        match stream.message().await {
            Ok(Some(SnapshotResponse { piece })) => Ok(Some((piece, Self::Open(stream, place)))),
            Ok(None) => Ok(None),
            Err(status) => {
                let server = place.as_ref().map_or("", |place| &place.server);
                // It only reads: nothing about it is in doubt.
                Err(ClientError::from_status(OPERATION, server, &status).unknown_outcome(false))
            }
        }
    }
}
