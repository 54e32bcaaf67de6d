//! What `-o json` writes that is the command's own. All other documents are those of REST: see `graft_proto::documents`, whose rules hold here.

use schemars::JsonSchema;
use serde::Serialize;

pub(crate) use graft_proto::documents::{Document, Versioned};

/// What went wrong, on stderr.
#[derive(Serialize, JsonSchema)]
pub(crate) struct ErrorJson {
    /// Of the catalogue of errors, whose pages `graft explain` shows; `null` only for an interruption.
    pub(crate) code: Option<String>,
    /// Why.
    pub(crate) message: String,
    /// On which object.
    pub(crate) object: Option<String>,
    /// What was tried, as it reads after "failed to".
    pub(crate) operation: Option<String>,
    /// What to do next.
    pub(crate) remedy: Option<String>,
    /// Whether the same may work later.
    pub(crate) retryable: bool,
    /// Whether it may have taken effect all the same.
    pub(crate) outcome_unknown: bool,
    /// As the process ends.
    pub(crate) exit_code: u8,
}

impl Document for ErrorJson {
    const KIND: &'static str = "Error";
}

/// An empty text is `null`.
pub(crate) fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
