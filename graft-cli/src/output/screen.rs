//! A part of the terminal that is drawn again and again in place.
//!
//! What does not fit is cut: the header stays, and the end of the tree, where things happen. The last picture may be higher than the screen, to
//! be scrolled, but not without bound: of a run of ten thousand different steps its beginning and its end are shown.

use std::io::{Stdout, Write, stdout};

use crossterm::cursor::{Hide, MoveToPreviousLine, Show};
use crossterm::style::Print;
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, DisableLineWrap, EnableLineWrap, EndSynchronizedUpdate, size};
use crossterm::{execute, queue};

use super::style::{Line, Tone};
use crate::error::CliResult;

/// Rows of a terminal that does not tell.
const ROWS_FALLBACK: u16 = 24;
/// Most lines of the last picture.
const LAST_PICTURE_LINES_MAX: usize = 400;

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
        self.replace(&fitting(lines, rows()))
    }

    /// Draws what fits of a list, whose beginning matters more than its end, in place of what was drawn before.
    pub(crate) fn draw_top(&mut self, lines: &[Line]) -> CliResult {
        self.replace(&top(lines, usize::from(rows()).saturating_sub(1)))
    }

    /// Draws the last picture.
    pub(crate) fn finish(mut self, lines: &[Line]) -> CliResult {
        self.replace(&cut(lines, LAST_PICTURE_LINES_MAX, LAST_PICTURE_LINES_MAX / 2, "folded"))
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

/// Rows of the terminal. One that was given no size says 0.
fn rows() -> u16 {
    size().ok().map(|(_, rows)| rows).filter(|rows| *rows > 0).unwrap_or(ROWS_FALLBACK)
}

/// The first lines, and one that counts those left out.
fn top(lines: &[Line], room: usize) -> Vec<Line> {
    if lines.len() <= room || room == 0 {
        return lines.iter().take(room).cloned().collect();
    }
    let left_out = Line::of(Tone::Dim, format!("… {} lines below", lines.len() - room + 1));
    lines[..room - 1].iter().cloned().chain([left_out]).collect()
}

/// The lines that fit on a screen, one row left for the cursor: a picture that scrolled could not be drawn over.
fn fitting(lines: &[Line], rows: u16) -> Vec<Line> {
    cut(lines, usize::from(rows).saturating_sub(1), 1, "above")
}

/// So many lines and no more: the first `head`, the last ones, and between them one that counts those left out. Where there is no room for
/// that, the first and the last line; or the first; or none.
fn cut(lines: &[Line], room: usize, head: usize, left_out: &str) -> Vec<Line> {
    if lines.len() <= room {
        return lines.to_vec();
    }
    let (head, note) = (head.min(room), usize::from(room > head + 1));
    let tail = room - head - note;
    let hidden = lines.len() - head - tail;
    let note = (note > 0).then(|| Line::of(Tone::Dim, format!("… {hidden} lines {left_out}")));
    lines[..head].iter().cloned().chain(note).chain(lines[lines.len() - tail..].iter().cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> Vec<Line> {
        (0..count).map(|number| Line::of(Tone::Plain, number.to_string())).collect()
    }

    fn text(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.render(false)).collect()
    }

    #[test]
    fn a_tree_higher_than_the_screen_keeps_its_header_and_its_end() {
        assert_eq!(text(&fitting(&lines(100), 6)), ["0", "… 96 lines above", "97", "98", "99"]);
        assert_eq!(text(&fitting(&lines(5), 6)).len(), 5);
    }

    #[test]
    fn a_picture_never_scrolls_the_screen_however_low_it_is() {
        assert_eq!(text(&fitting(&lines(100), 4)), ["0", "… 98 lines above", "99"]);
        assert_eq!(text(&fitting(&lines(100), 3)), ["0", "99"]);
        assert_eq!(text(&fitting(&lines(100), 2)), ["0"]);
        assert_eq!(text(&fitting(&lines(100), 1)), [""; 0]);
        for rows in 1..200 {
            assert!(fitting(&lines(100), rows).len() < rows.into(), "{rows} rows");
        }
    }

    #[test]
    fn of_a_list_higher_than_the_screen_its_beginning_is_shown() {
        assert_eq!(text(&top(&lines(100), 4)), ["0", "1", "2", "… 97 lines below"]);
        assert_eq!(text(&top(&lines(3), 4)), ["0", "1", "2"]);
        assert_eq!((text(&top(&lines(100), 1)), text(&top(&lines(100), 0)).len()), (vec!["… 100 lines below".to_owned()], 0));
    }

    #[test]
    fn the_last_picture_of_a_long_run_shows_its_beginning_and_its_end() {
        let shown = text(&cut(&lines(10_000), 10, 5, "folded"));
        assert_eq!(shown, ["0", "1", "2", "3", "4", "… 9991 lines folded", "9996", "9997", "9998", "9999"]);
        assert_eq!(cut(&lines(10), 10, 5, "folded").len(), 10);
    }
}
