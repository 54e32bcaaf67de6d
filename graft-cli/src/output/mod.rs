//! How answers reach stdout.
//!
//! - [`json`]: the documents that programs get; their shape is a promise.
//! - [`table`]: what people get.
//! - [`event`]: one event as one line.
//! - [`progress`]: events folded into what a workflow looks like now; [`tree`] draws that; [`screen`] shows it on a terminal.
//! - [`time`] and [`style`]: how times and colours are written.
//!
//! Everything but [`screen`] and [`Output`] is pure: values in, text out.
pub(crate) mod event;
pub(crate) mod json;
pub(crate) mod progress;
pub(crate) mod screen;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod time;
pub(crate) mod tree;

use std::io::{IsTerminal, Write, stdout};

use serde::Serialize;

use crate::cli::Format;
use crate::error::CliResult;
use style::Line;

/// Where answers go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    colours: bool,
}

impl Output {
    /// To stdout, in this form.
    pub(crate) fn new(format: Format) -> Self {
        Self { format, colours: style::colours() }
    }

    /// Whether programs read it.
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// Whether colours are welcome.
    pub(crate) fn colours(self) -> bool {
        self.colours
    }

    /// Whether people look at it while it happens.
    pub(crate) fn is_live(self) -> bool {
        !self.is_json() && stdout().is_terminal()
    }

    /// A document, for programs.
    pub(crate) fn document(self, value: &impl Serialize) -> CliResult {
        let mut text = serde_json::to_string_pretty(value).map_err(|error| std::io::Error::other(error.to_string()))?;
        text.push('\n');
        self.text(&text)
    }

    /// A document on one line, for programs that read as it comes.
    pub(crate) fn document_line(self, value: &impl Serialize) -> CliResult {
        let mut text = serde_json::to_string(value).map_err(|error| std::io::Error::other(error.to_string()))?;
        text.push('\n');
        self.text(&text)
    }

    /// Lines, for people.
    pub(crate) fn lines(self, lines: &[Line]) -> CliResult {
        let text: String = lines.iter().map(|line| line.render(self.colours) + "\n").collect();
        self.text(&text)
    }

    fn text(self, text: &str) -> CliResult {
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

/// Words for people, on stderr; what they quote cannot steer the terminal. Nobody may be reading them; that is no error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", style::visible_lines(text));
}
