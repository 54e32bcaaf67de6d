//! Verbs of `graft cluster`.
pub(super) mod members;
pub(super) mod status;
