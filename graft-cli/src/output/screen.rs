//! A part of the terminal that is drawn again and again in place.
//!
//! What does not fit is cut: the header stays, and the end of the tree, where things happen. The last picture is drawn in full, to be scrolled.

use std::io::{Stdout, Write, stdout};

use crossterm::cursor::{Hide, MoveToPreviousLine, Show};
use crossterm::style::Print;
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate, size};
use crossterm::{execute, queue};

use super::style::{Line, Tone};
use crate::error::CliResult;

/// Rows of a terminal that does not tell.
const ROWS_FALLBACK: u16 = 24;

/// The part of the terminal below the cursor. Dropping it gives the terminal back as it was.
pub(crate) struct Screen {
    out: Stdout,
    drawn: u16,
    colours: bool,
}

impl Screen {
    /// Takes the terminal.
    pub(crate) fn take(colours: bool) -> CliResult<Self> {
        let mut out = stdout();
        execute!(out, Hide, DisableLineWrap)?;
        Ok(Self { out, drawn: 0, colours })
    }

    /// Draws what fits in place of what was drawn before.
    pub(crate) fn draw(&mut self, lines: &[Line]) -> CliResult {
        let rows = size().map_or(ROWS_FALLBACK, |(_, rows)| rows);
        self.replace(&fitting(lines, rows))
    }

    /// Draws all of it.
    pub(crate) fn finish(mut self, lines: &[Line]) -> CliResult {
        self.replace(lines)
    }

    fn replace(&mut self, lines: &[Line]) -> CliResult {
        queue!(self.out, BeginSynchronizedUpdate)?;
        if self.drawn > 0 {
            queue!(self.out, MoveToPreviousLine(self.drawn))?;
        }
        queue!(self.out, Clear(ClearType::FromCursorDown))?;
        for line in lines {
            queue!(self.out, Print(line.render(self.colours)), Print("\r\n"))?;
        }
        queue!(self.out, EndSynchronizedUpdate)?;
        self.out.flush()?;
        self.drawn = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // The terminal may be gone; then there is nothing to give back.
        let _ = execute!(self.out, EnableLineWrap, Show);
    }
}

/// The lines that fit on a screen, one row left for the cursor.
fn fitting(lines: &[Line], rows: u16) -> Vec<Line> {
    let room = usize::from(rows.max(4)) - 1;
    let [header, rest @ ..] = lines else { return Vec::new() };
    if lines.len() <= room {
        return lines.to_vec();
    }
    let tail = room - 2;
    let hidden = rest.len() - tail;
    let note = Line::of(Tone::Dim, format!("… {hidden} lines above"));
    [header.clone(), note].into_iter().chain(rest[hidden..].iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_higher_than_the_screen_keeps_its_header_and_its_end() {
        let lines: Vec<Line> = (0..100).map(|number| Line::of(Tone::Plain, number.to_string())).collect();
        let fitting: Vec<String> = fitting(&lines, 6).iter().map(|line| line.render(false)).collect();
        assert_eq!(fitting, ["0", "… 96 lines above", "97", "98", "99"]);
        assert_eq!(super::fitting(&lines[..5], 6).len(), 5);
    }
}
