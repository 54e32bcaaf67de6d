//! gRPC reflection: what is spoken here, for tools that have no .proto files. The public protocol and health; nothing of what members speak
//! among themselves.

use axum::body::Body;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;
use tonic_reflection::server::{Builder, v1, v1alpha};

/// Largest question, in bytes: the name of a file or a symbol.
const QUESTION_BYTES_MAX: usize = 4 << 10;
const BUILT_IN: &str = "the descriptors were compiled with this program";

/// The service in both versions that tools ask for.
pub(super) fn services()
-> (v1::ServerReflectionServer<impl v1::ServerReflection>, v1alpha::ServerReflectionServer<impl v1alpha::ServerReflection>) {
    let builder = || {
        Builder::configure()
            .register_encoded_file_descriptor_set(graft_proto::FILE_DESCRIPTOR_SET)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            .include_reflection_service(false)
    };
    let (v1, v1alpha) = (builder().build_v1().expect(BUILT_IN), builder().build_v1alpha().expect(BUILT_IN));
    (v1.max_decoding_message_size(QUESTION_BYTES_MAX), v1alpha.max_decoding_message_size(QUESTION_BYTES_MAX))
}

/// The questions of a client, which end when the server stops: so does the stream of answers.
pub(super) fn until_stop(questions: Body, stop: CancellationToken) -> Body {
    Body::from_stream(questions.into_data_stream().take_until(stop.cancelled_owned()))
}
