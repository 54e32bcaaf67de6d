//! A workflow that has ended, as one document.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::try_unfold;
use graft_proto::v1::{ExportRequest, ExportResponse};

use crate::channel::{Kind, Place};
use crate::error::ClientError;
use crate::handle::{Service, WorkflowHandle};

/// An export under way; the place is the stream's own, on its connection.
enum Export {
    Asked(WorkflowHandle),
    Open(WorkflowHandle, Box<tonic::Streaming<ExportResponse>>, Option<Place>),
}

impl WorkflowHandle {
    /// The workflow, which must have ended, as one JSON document in pieces that are cut anywhere: itself, its state, its dead letters and its
    /// history. All pieces together are the document; one that ends with an error is not whole.
    ///
    /// # Errors
    /// The stream's last item is an error if the workflow does not exist or has not ended, if no member answers, or if the stream breaks: the
    /// document is then asked for again from its beginning.
    pub fn export(&self) -> impl Stream<Item = Result<Bytes, ClientError>> + Send + Unpin + 'static {
        Box::pin(try_unfold(Export::Asked(self.clone()), Export::next))
    }
}

impl Export {
    async fn next(self) -> Result<Option<(Bytes, Self)>, ClientError> {
        let (handle, mut stream, place) = match self {
            Self::Open(handle, stream, place) => (handle, stream, place),
            Self::Asked(handle) => {
                let WorkflowHandle { client, workflow_id, run } = &handle;
                let request = ExportRequest { namespace: client.namespace().to_owned(), workflow_id: workflow_id.clone(), run: *run };
                let call = |mut service: Service, request| async move { service.export(request).await };
                let kind = Kind::Lasting(Duration::ZERO);
                let (stream, place) = client.workflows_call_in_place(&handle.doing("export"), kind, request, call).await?;
                (handle, Box::new(stream), place)
            }
        };
        match stream.message().await {
            Ok(Some(ExportResponse { piece })) => Ok(Some((piece, Self::Open(handle, stream, place)))),
            Ok(None) => Ok(None),
            Err(status) => {
                let server = place.as_ref().map_or("", |place| &place.server);
                // It only reads: nothing about it is in doubt.
                Err(ClientError::from_status(&handle.doing("export"), server, &status).unknown_outcome(false))
            }
        }
    }
}
