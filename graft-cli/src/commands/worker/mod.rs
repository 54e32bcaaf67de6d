//! Verbs of `graft worker`.
pub(super) mod list;
