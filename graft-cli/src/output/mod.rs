//! How answers reach stdout, and words stderr.
//!
//! A verb hands its [`Answer`] to [`Output::show`], which writes it in the form that was asked for.
//!
//! - [`json`]: the documents that programs get; their shape is a promise.
//! - [`table`]: what people get.
//! - [`event`]: one event as one line; [`task`], [`limit`]: tasks, dead letters and limits.
//! - [`progress`]: events folded into what a workflow looks like now; [`graph`] folds that by node and draws it, as a tree, as Mermaid, as DOT.
//! - [`screen`]: what is drawn again in place; [`pager`]: what is longer than a screen; [`spinner`]: what takes long; [`ask`]: what must be
//!   agreed to.
//! - [`time`], [`style`] and [`yaml`]: how times, colours and YAML are written.
//!
//! Everything that touches the terminal is in [`screen`], [`pager`], [`spinner`], [`ask`] and here; the rest is pure: values in, text out.
pub(crate) mod ask;
pub(crate) mod event;
pub(crate) mod graph;
pub(crate) mod json;
pub(crate) mod limit;
pub(crate) mod pager;
pub(crate) mod progress;
pub(crate) mod screen;
pub(crate) mod spinner;
pub(crate) mod style;
pub(crate) mod table;
pub(crate) mod task;
pub(crate) mod time;
pub(crate) mod yaml;

use std::io::{IsTerminal, Write, stderr, stdin, stdout};
use std::sync::OnceLock;

use crate::cli::{Color, Format, Global};
use crate::error::CliResult;
use json::{Document, Versioned};
use style::Line;

/// How much is said on stderr beside warnings and errors. It is a matter of the whole process, like stderr itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Talk {
    /// Nothing.
    Quiet,
    /// Notes.
    Normal,
    /// Also who is asked, and how long it takes.
    Verbose,
}

static TALK: OnceLock<Talk> = OnceLock::new();

/// What a verb answers: one thing, or a list of things.
pub(crate) trait Answer {
    /// What programs get.
    type Document: Document;

    /// For programs.
    fn document(&self) -> Self::Document;

    /// For programs that read line by line: each thing of a list by itself.
    fn each(&self) -> CliResult<Vec<String>> {
        Ok(vec![compact(&self.document())?])
    }

    /// What the things are called, as other verbs take it.
    fn names(&self) -> Vec<String>;

    /// For people.
    fn people(&self, view: View) -> Vec<Line>;
}

/// How people want to see an answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View {
    /// More columns.
    pub(crate) wide: bool,
    /// Tables have headers.
    pub(crate) headers: bool,
    /// Now, in milliseconds since the Unix epoch.
    pub(crate) now_ms: u64,
}

impl View {
    /// As it is unless somebody says otherwise.
    #[cfg(test)]
    pub(crate) fn plain(now_ms: u64) -> Self {
        Self { wide: false, headers: true, now_ms }
    }
}

/// Where answers go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    format: Format,
    headers: bool,
    colours: bool,
}

impl Output {
    /// To stdout, as the flags say.
    pub(crate) fn new(global: &Global) -> Self {
        let talk = match (global.quiet, global.verbose) {
            (true, _) => Talk::Quiet,
            (_, true) => Talk::Verbose,
            _ => Talk::Normal,
        };
        TALK.get_or_init(|| talk);
        Self { format: global.output, headers: !global.no_headers, colours: colours(global.color, stdout().is_terminal()) }
    }

    /// Whether people read it.
    pub(crate) fn is_for_people(self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Whether each thing of a list can be written as it comes, because its form does not depend on the others.
    pub(crate) fn is_by_line(self) -> bool {
        matches!(self.format, Format::Jsonl | Format::Name)
    }

    /// Its form.
    pub(crate) fn format(self) -> Format {
        self.format
    }

    /// Whether colours are welcome.
    pub(crate) fn colours(self) -> bool {
        self.colours
    }

    /// Whether people look at it while it happens.
    pub(crate) fn is_live(self) -> bool {
        self.is_for_people() && stdout().is_terminal()
    }

    /// Whether somebody is there who can be asked.
    pub(crate) fn can_ask(self) -> bool {
        self.is_for_people() && stdin().is_terminal() && stderr().is_terminal()
    }

    /// How people see it now.
    pub(crate) fn view(self) -> View {
        View { wide: self.format == Format::Wide, headers: self.headers, now_ms: time::now_ms() }
    }

    /// Writes an answer.
    pub(crate) fn show(self, answer: &impl Answer) -> CliResult {
        self.text(&self.render(answer)?)
    }

    /// An answer as text.
    pub(crate) fn render(self, answer: &impl Answer) -> CliResult<String> {
        Ok(match self.format {
            Format::Table | Format::Wide => self.written(&answer.people(self.view())),
            Format::Json => pretty(&answer.document())? + "\n",
            Format::Jsonl => lines_of(answer.each()?),
            Format::Yaml => yaml_of(&answer.document())?,
            Format::Name => lines_of(answer.names().iter().map(|name| style::visible(name))),
        })
    }

    /// Writes one of many answers that come one after the other, for programs that read as it comes.
    pub(crate) fn show_next(self, answer: &impl Answer) -> CliResult {
        match self.format {
            Format::Json => self.text(&(compact(&answer.document())? + "\n")),
            Format::Yaml => self.text(&format!("---\n{}", yaml_of(&answer.document())?)),
            _ => self.show(answer),
        }
    }

    /// Lines as they are written.
    pub(crate) fn written(self, lines: &[Line]) -> String {
        lines.iter().map(|line| line.render(self.colours) + "\n").collect()
    }

    /// Text, as it is.
    pub(crate) fn text(self, text: &str) -> CliResult {
        let mut out = stdout().lock();
        out.write_all(text.as_bytes())?;
        Ok(out.flush()?)
    }
}

fn lines_of(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

/// Whether colours are used: a flag wins over the environment, and that over what stdout is.
fn colours(color: Color, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let forced = std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0");
    match color {
        Color::Always => true,
        Color::Never => false,
        Color::Auto if set("NO_COLOR") => false,
        Color::Auto => forced || terminal && std::env::var_os("TERM").is_none_or(|term| term != "dumb"),
    }
}

/// A document, in lines that are indented.
pub(crate) fn pretty<D: Document>(document: &D) -> CliResult<String> {
    Ok(serde_json::to_string_pretty(&Versioned::of(document)).map_err(unwritable)?)
}

/// A document on one line, whatever configs and states were written like: a line break that stands in JSON is white space.
pub(crate) fn compact<D: Document>(document: &D) -> CliResult<String> {
    let mut text = serde_json::to_string(&Versioned::of(document)).map_err(unwritable)?;
    text.retain(|c| !matches!(c, '\n' | '\r'));
    Ok(text)
}

/// A document as YAML.
pub(crate) fn yaml_of<D: Document>(document: &D) -> CliResult<String> {
    yaml::of_json(&compact(document)?)
}

fn unwritable(error: serde_json::Error) -> std::io::Error {
    std::io::Error::other(error.to_string())
}

/// A word as a shell takes it: in quotes where it has to be.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word.to_owned() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

/// Words for people, on stderr, whatever was asked for: warnings and errors. What they quote cannot steer the terminal. Nobody may be reading
/// them; that is no error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(stderr().lock(), "{}", style::visible_lines(text));
}

/// Words that help people to go on; `--quiet` leaves them out.
pub(crate) fn note(text: &str) {
    if TALK.get().is_none_or(|talk| *talk >= Talk::Normal) {
        say(text);
    }
}

/// Words for people who want to know more.
pub(crate) fn detail(text: &str) {
    if is_verbose() {
        say(text);
    }
}

/// Whether somebody wants to know more.
pub(crate) fn is_verbose() -> bool {
    TALK.get() == Some(&Talk::Verbose)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_decides_about_colours_whatever_stdout_is() {
        for terminal in [true, false] {
            assert!(colours(Color::Always, terminal) && !colours(Color::Never, terminal));
        }
    }
}
