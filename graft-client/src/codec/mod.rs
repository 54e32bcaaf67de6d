//! What members shall not read: a hook that encodes payload in the caller's process before it is sent, and decodes it where it is read.
//!
//! A [`PayloadCodec`] belongs to a [`Client`](crate::Client) ([`ClientBuilder::payload_codec`](crate::ClientBuilder::payload_codec)) and to the workers that are
//! built of it. It encodes a task's *config* as a whole, and of a *state* the leaves: texts, numbers and booleans, each by itself. Names of fields, the
//! shape of objects, the length of arrays and `null` stay as they are, so that members merge patches as ever: branches that run side by side do not
//! overwrite each other, `null` removes, [`Outcome::append`](crate::Outcome::append) puts an encoded value at the end of an array, and
//! [`CanStart::wake_on`](crate::CanStart::wake_on) hears of changes. `graft-client/examples/encryption.rs` encrypts.
//!
//! An encoded value is a JSON text, `graft+codec:KEY:DATA`: it names the key that it was encoded with, so that keys can be changed while the older values
//! are still there. What has no such mark was never encoded and is read as it stands: a namespace moves over to a codec step by step, first all workers and
//! readers, then those that start workflows. A text that looks like an encoded one is always encoded itself, so the two cannot be confused.
//!
//! # What then is not possible, and what is not encoded
//!
//! - Members cannot add to what they cannot read. [`Outcome::increment`](crate::Outcome::increment) at a place that is encoded fails the attempt for good, and
//!   says so: leave that place plain with [`PayloadCodec::covers`], or return the new value as state.
//! - A start or a redrive under a request id of the program's own is told from another by its bytes. If encoding the same twice gives two texts, as encryption
//!   does, a repeat by another call or process is refused as a misuse of the id: choose the workflow's id, and
//!   [`OnConflict::UseExisting`](crate::OnConflict::UseExisting).
//! - Ids, labels, names of nodes and fields, idempotency keys, reasons, progress, and what a node says when it fails are not payload: people search and read
//!   them. The SDK quotes no values in its own failures where there is a codec; a node's own words are its own.
//! - `graft` has no codec, and shows values as members have them; so does [`WorkflowHandle::export`](crate::WorkflowHandle::export).
//! - Encoded values are longer, and the bounds of sizes hold for what is sent.
//!
//! # When it cannot be decoded
//!
//! Nothing is passed on half read: a client's call fails with [`ErrorCode::PayloadCodec`](crate::ErrorCode::PayloadCodec), and an attempt with a failure that is
//! retried, both of which name workflow and place; after its last attempt a task is a dead letter like others, and is redriven when the key is there. A worker
//! without a codec that is handed encoded values says so, too, instead of taking them for texts, unless its node reads nothing.

// `document` walks a document and knows how an encoded value is written; `messages` knows which messages hold documents.
mod document;
mod messages;

use std::error::Error;
use std::fmt;
use std::sync::Arc;

pub(crate) use document::is_marked;
pub(crate) use messages::{Broken, Payloads};

/// Encodes payload before it leaves the process, and decodes it where it is read. See the [module](self).
///
/// It is called where payload is sent or read, on the runtime's threads: it must not wait. One that needs keys from elsewhere fetches them
/// beforehand. A panic is taken for an error.
pub trait PayloadCodec: Send + Sync + 'static {
    /// Encodes one JSON value: a leaf of a state, or a config.
    ///
    /// # Errors
    /// If it cannot. The start or the attempt fails with these words; they should not quote the value.
    fn encode(&self, place: &PayloadPlace<'_>, plain: &[u8]) -> Result<EncodedPayload, CodecError>;

    /// The JSON value that this is of. `key` is what [`encode`](Self::encode) named.
    ///
    /// # Errors
    /// If the key is not known, or the data is not of that key: the call or the attempt fails with these words.
    fn decode(&self, place: &PayloadPlace<'_>, key: &str, data: &[u8]) -> Result<Vec<u8>, CodecError>;

    /// Whether what is written to this place is encoded; otherwise everything is. What is plain can be added to by members, and be read by everybody who may see
    /// the workflow. What is encoded already is decoded, whatever this says.
    fn covers(&self, place: &PayloadPlace<'_>) -> bool {
        let _ = place;
        true
    }
}

/// Why a codec could not do its work.
pub type CodecError = Box<dyn Error + Send + Sync>;

/// Where a value stands.
///
/// What is encoded can be bound to the namespace (as the associated data of an encryption), and to nothing more: a patch is written for several workflows at
/// once, an id may still be the server's to make, and a value that is appended does not know its place in the array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PayloadPlace<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The workflow's id; empty where it is not known yet, or several are meant.
    pub workflow_id: &'a str,
    /// What of it.
    pub part: PayloadPart<'a>,
}

impl<'a> PayloadPlace<'a> {
    /// A place, for tests of a codec.
    pub fn new(namespace: &'a str, workflow_id: &'a str, part: PayloadPart<'a>) -> Self {
        Self { namespace, workflow_id, part }
    }
}

/// What of a workflow a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PayloadPart<'a> {
    /// A leaf of the state, by its JSON pointer (RFC 6901) in which `-` stands for any element of an array: `/lines/-/sku`.
    State(&'a str),
    /// The whole config of a task.
    Config,
}

/// A value that was encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedPayload {
    /// Names the key, for whoever decodes it: letters, digits and `- _ .`, 1 to 64. Everybody can read it.
    pub key: String,
    /// The encoded value, as bytes of any kind.
    pub data: Vec<u8>,
}

/// A client's codec.
#[derive(Clone)]
pub(crate) struct Codec(pub(crate) Arc<dyn PayloadCodec>);

impl fmt::Debug for Codec {
    /// What it holds are keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Codec")
    }
}
