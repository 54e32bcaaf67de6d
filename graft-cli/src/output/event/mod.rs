//! One event: as a document for programs ([`EventJson`]), as a line for people ([`line()`]).
mod document;
mod words;

pub(crate) use document::{EventJson, HistoryJson};
pub(crate) use words::line;
