//! Long answers on a terminal: through $GRAFT_PAGER, $PAGER, or `less -FRX`, which ends by itself where all fits on the screen.

use std::io::Write;
use std::process::{Child, Command, Stdio};

use super::style::Line;
use super::{Output, note};
use crate::error::{CliError, CliResult};

/// What shows long answers if nobody says.
const PAGER_DEFAULT: &str = "less -FRX";
/// What `less` does if its own variable is not set: quit if all fits, pass colours on, leave the screen as it is.
const LESS: &str = "FRX";

/// Where lines for people go: a pager, or straight to stdout.
pub(crate) struct Pages {
    output: Output,
    pager: Option<Child>,
}

impl Pages {
    /// Starts the pager, if people look at a terminal and want one.
    pub(crate) fn open(output: Output, wanted: bool) -> Self {
        let pager = if wanted && output.is_live() { start(&command()) } else { None };
        Self { output, pager }
    }

    /// Writes lines. Somebody who has seen enough and left the pager is a reader that has gone.
    pub(crate) fn lines(&mut self, lines: &[Line]) -> CliResult {
        let text = self.output.written(lines);
        match &mut self.pager {
            Some(pager) => Ok(pager.stdin.as_mut().ok_or(CliError::ReaderGone)?.write_all(text.as_bytes())?),
            None => self.output.text(&text),
        }
    }
}

impl Drop for Pages {
    /// The pager has the terminal until whoever reads has seen enough.
    fn drop(&mut self) {
        if let Some(mut pager) = self.pager.take() {
            drop(pager.stdin.take());
            let _ = pager.wait();
        }
    }
}

/// The command of the pager; empty for none.
fn command() -> String {
    let of = |name| std::env::var(name).ok();
    of("GRAFT_PAGER").or_else(|| of("PAGER")).unwrap_or_else(|| PAGER_DEFAULT.to_owned())
}

fn start(command: &str) -> Option<Child> {
    let words: Vec<&str> = command.split_whitespace().collect();
    if matches!(words.as_slice(), [] | ["cat"]) {
        return None;
    }
    // What only a shell understands is given to one, as git does.
    let mut process = if command.contains(|c: char| "|&;<>()$`\\\"'*?[#~=%".contains(c)) {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        shell
    } else {
        let mut process = Command::new(words[0]);
        process.args(&words[1..]);
        process
    };
    if std::env::var_os("LESS").is_none() {
        process.env("LESS", LESS);
    }
    match process.stdin(Stdio::piped()).spawn() {
        Ok(child) => Some(child),
        Err(error) => {
            if command != PAGER_DEFAULT {
                note(&format!("The pager {command:?} does not start: {error}"));
            }
            None
        }
    }
}
