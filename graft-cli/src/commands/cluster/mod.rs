//! Verbs of `graft cluster`.
pub(super) mod status;
