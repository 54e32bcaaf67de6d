//! The wire protocols of Graft, generated from the `.proto` files beside this crate.
//!
//! [`v1`] is public API: what clients and workers speak. [`peer`] is what members speak among themselves, and nobody else.
//! [`errors`] is the catalogue of what can be refused. With the feature `documents`, `documents` holds what REST and `graft -o json` write.

#![deny(missing_docs, rustdoc::broken_intra_doc_links)]

#[cfg(feature = "documents")]
pub mod documents;
pub mod errors;
#[cfg(feature = "json")]
pub mod json;

pub mod peer_identity;
mod secrets;

/// The public protocol, package `graft.v1`.
#[allow(missing_docs, clippy::all, reason = "generated: services and enums carry no docs of their own")]
pub mod v1 {
    tonic::include_proto!("graft.v1");
}

/// The public protocol as an encoded `FileDescriptorSet`, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/graft.v1.bin"));

/// The private protocol between members.
pub mod peer {
    /// Package `graft.peer.v1`.
    #[allow(missing_docs, clippy::all, reason = "generated: services and enums carry no docs of their own")]
    pub mod v1 {
        tonic::include_proto!("graft.peer.v1");
    }
}

/// The version of the worker protocol that this crate describes.
pub const WORKER_PROTOCOL: u32 = 1;

/// Name of the binary metadata entry that carries an encoded [`v1::ErrorDetail`] beside a gRPC status.
pub const ERROR_DETAIL_METADATA: &str = "graft-error-bin";

/// Largest message that a member accepts from a client or worker, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// Largest message that a member sends to a client or worker, and that an SDK accepts, in bytes. Pages end far below it, but for their last
/// item: one event may hold all that came in with one message, and names beside it.
pub const ANSWER_BYTES_MAX: usize = 2 * MESSAGE_BYTES_MAX;
