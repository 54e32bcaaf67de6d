//! The thirteen nodes, and what they know of the state.
//!
//! Each node names the fields that it reads and writes; the workflow's state is larger than what any of them knows. `/path`, for instance, is
//! in no type: every node appends its name there, and two that run at the same moment do not lose each other's.

use graft_client::Outcome;
use serde::{Deserialize, Serialize};

mod analyse;
mod enhance;
mod finalise;
mod ingest;
mod language;
mod nlp;
mod notify;
mod ocr;
mod prioritise;
mod process;
mod quality;
mod repair;
mod validate;

pub use analyse::Analyse;
pub use enhance::Enhance;
pub use finalise::Finalise;
pub use ingest::Ingest;
pub use language::DetectLanguage;
pub use nlp::Nlp;
pub use notify::Notify;
pub use ocr::Ocr;
pub use prioritise::Prioritise;
pub use process::Process;
pub use quality::QualityGate;
pub use repair::Repair;
pub use validate::Validate;

/// A document on its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Document {
    /// Name of the file.
    pub name: String,
    /// Its text, as it is by now.
    pub text: String,
    /// Hash of the text as it came.
    pub checksum: String,
    /// What validation found wrong last; empty: nothing.
    pub problems: Vec<String>,
    /// How often it was repaired.
    pub repairs: u32,
    /// Whether it came from a scanner.
    pub scanned: bool,
    /// Words that the OCR branch corrected.
    pub corrections: u32,
    /// Counts.
    pub statistics: Option<Statistics>,
    /// Its language.
    pub language: Option<Language>,
    /// What it is about.
    pub keywords: Vec<String>,
    /// Its most telling sentences.
    pub summary: String,
    /// What the gate said last.
    pub quality: Option<Quality>,
    /// How often it was enhanced.
    pub enhancements: u32,
    /// Words that call for haste.
    pub alarms: Vec<String>,
    /// How urgent it is, from 1 to 9; none: as usual.
    pub urgency: Option<u8>,
    /// Times and dates by which something has to be done.
    pub due: Vec<String>,
}

/// Counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Statistics {
    /// Words.
    pub words: usize,
    /// Different words.
    pub distinct: usize,
    /// Sentences.
    pub sentences: usize,
    /// Syllables.
    pub syllables: usize,
    /// Paragraphs that were there twice, and went.
    pub repeated: usize,
}

/// A language, and how sure it is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Language {
    /// `en`, `de`, `fr`.
    pub code: String,
    /// Share of the words that speak for it, in percent.
    pub share: usize,
}

/// What the gate said.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// From 0 to 100.
    pub score: i64,
    /// Reading ease, from 0 (hard) to 100 (easy).
    pub reading_ease: i64,
    /// What costs points.
    pub remarks: Vec<String>,
}

/// Begins an outcome with the node's name on the path.
fn passed<S>(node: &str, outcome: Outcome<S>) -> Outcome<S> {
    outcome.append("/path", node)
}
