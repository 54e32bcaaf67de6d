//! Inputs that nobody would send: whatever reads bytes from a disk or a network, or a text that a person wrote, is given damaged ones.
//!
//! A *target* ([`targets`]) hands bytes to the real function and says whether they were taken, refused, or handled wrongly (what was read is
//! written otherwise, the state breaks an invariant, an oracle answers differently). The *engine* ([`engine`]) makes cases from the target's
//! corpus: what stands in `tests/corpus/TARGET`, what the target makes itself, and what was taken before. It mutates bytes and words
//! ([`mutate`]), catches panics, stops at cases that take longer than [`engine::CASE_MAX`], and makes a failing input small. Everything follows
//! from a seed.
//!
//! ```sh
//! cargo run --release -p graft-tests --bin fuzz -- --target all --cases 400000 --seed 1
//! cargo run --release -p graft-tests --bin fuzz -- --target records --input tests/corpus/records/found-0123456789abcdef
//! ```
//!
//! `tests/tests/inputs.rs` runs every corpus and a few thousand cases of each target with every `cargo test`. An input that was found is put
//! into the corpus, so that it is tried for ever.

pub mod choices;
pub mod engine;
pub mod mutate;
pub mod targets;

/// What became of an input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was read.
    Taken,
    /// It was refused.
    Refused,
}

/// What came of one case; `Err`: something is wrong with the code, and what.
pub type Outcome = Result<Verdict, String>;

/// Gives an input to what reads it.
pub type Run = Box<dyn FnMut(&[u8]) -> Outcome>;

/// Something that reads bytes.
pub struct Target {
    /// Its name, and that of its folder below `tests/corpus`.
    pub name: &'static str,
    /// Words that mean something to it.
    pub words: &'static [&'static str],
    /// Longest input, in bytes.
    pub longest: usize,
    /// Inputs to begin with, beside the corpus.
    pub seeds: Vec<Vec<u8>>,
    /// One case.
    pub run: Run,
}

/// `Taken` if it could be read at all.
pub(crate) fn taken<T, E>(read: Result<T, E>) -> Outcome {
    Ok(if read.is_ok() { Verdict::Taken } else { Verdict::Refused })
}

/// `Err` unless both are the same.
pub(crate) fn same<T: PartialEq + std::fmt::Debug>(what: &str, left: &T, right: &T) -> Result<(), String> {
    if left == right {
        return Ok(());
    }
    Err(format!("{what}: {left:?} became {right:?}"))
}
