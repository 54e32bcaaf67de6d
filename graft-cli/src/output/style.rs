//! Colours: few. What they say is also said in words or marks, so that nothing is lost without them.

use crossterm::style::{Attribute, Color, ContentStyle, Stylize};

/// What a piece of text is, for its colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it is.
    Plain,
    /// Less important.
    Dim,
    /// More important.
    Strong,
    /// It went well.
    Good,
    /// It moves.
    Busy,
    /// It waits.
    Waiting,
    /// It went wrong.
    Bad,
}

/// A line of text in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Line(Vec<(Tone, String)>);

impl Line {
    /// A line of one piece.
    pub(crate) fn of(tone: Tone, text: impl Into<String>) -> Self {
        Self::default().add(tone, text)
    }

    /// Adds a piece.
    pub(crate) fn add(mut self, tone: Tone, text: impl Into<String>) -> Self {
        let text = text.into();
        if !text.is_empty() {
            self.0.push((tone, text));
        }
        self
    }

    /// Adds another line's pieces.
    pub(crate) fn join(mut self, other: Self) -> Self {
        self.0.extend(other.0);
        self
    }

    /// As text, with colours or without. Control characters of users' texts are shown, not obeyed.
    pub(crate) fn render(&self, colours: bool) -> String {
        let mut out = String::new();
        for (tone, text) in &self.0 {
            let text = visible(text);
            match look(*tone) {
                Some(look) if colours => out.push_str(&look.apply(text).to_string()),
                _ => out.push_str(&text),
            }
        }
        out
    }
}

/// The text with control characters written out, so that no error message can steer a terminal.
pub(crate) fn visible(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect::<Vec<_>>() } else { vec![c] }).collect()
}

/// The same of a text of several lines: it keeps its lines, and nothing else that a terminal would obey.
pub(crate) fn visible_lines(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

fn look(tone: Tone) -> Option<ContentStyle> {
    let plain = ContentStyle::new();
    Some(match tone {
        Tone::Plain => return None,
        Tone::Dim => plain.with(Color::DarkGrey),
        Tone::Strong => plain.attribute(Attribute::Bold),
        Tone::Good => plain.with(Color::Green),
        Tone::Busy => plain.with(Color::Cyan),
        Tone::Waiting => plain.with(Color::Yellow),
        Tone::Bad => plain.with(Color::Red),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_a_line_is_its_text() {
        let line = Line::of(Tone::Good, "✓ ").add(Tone::Plain, "pick").add(Tone::Dim, " 3ms");
        assert_eq!(line.render(false), "✓ pick 3ms");
        assert!(line.render(true).contains('\u{1b}'));
    }

    #[test]
    fn a_text_of_users_cannot_steer_the_terminal() {
        assert_eq!(Line::of(Tone::Plain, "a\u{1b}[2Jb\nc").render(false), "a\\u{1b}[2Jb\\nc");
        assert_eq!(visible_lines("a\u{1b}[2Jb\r\nc\n  d\u{9b}1m"), "a\\u{1b}[2Jb\nc\n  d\\u{9b}1m");
    }
}
