//! Why a configuration was refused: what, where, why, and what to do; all problems at once.

use std::fmt;

/// The configuration was refused. The daemon ends with exit code 78.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong, or (as a warning) unwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which key, variable, file or directory.
    pub what: String,
    /// Where it was said: file and line, variable, flag; empty = nowhere in particular, or a default.
    pub said_in: String,
    /// Other keys that it does not fit to.
    pub beside: Vec<&'static str>,
    /// Why it is refused.
    pub why: String,
    /// What to do next.
    pub remedy: String,
}

impl Problem {
    /// A problem with a key, wherever it was said.
    pub fn of(what: impl Into<String>, why: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), said_in: String::new(), beside: Vec::new(), why: why.into(), remedy: remedy.into() }
    }

    /// The same, said there.
    pub fn said_in(mut self, place: impl Into<String>) -> Self {
        self.said_in = place.into();
        self
    }

    /// The same, between the key and these others.
    pub fn beside(mut self, keys: &[&'static str]) -> Self {
        self.beside = keys.to_vec();
        self
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.said_in.is_empty() {
            write!(f, " ({})", self.said_in)?;
        }
        write!(f, ": {}", self.why)?;
        if !self.remedy.is_empty() {
            write!(f, "\n  → {}", self.remedy)?;
        }
        Ok(())
    }
}
