//! Signs of life on stderr while something takes long: only on a terminal, and gone when it is done.

use std::io::{IsTerminal, stderr};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::{TALK, Talk, style};

/// How often it moves.
const TICK: Duration = Duration::from_millis(120);

/// Something that turns, and words beside it. Nothing at all where stderr is no terminal, or nobody wants to be told.
pub(crate) struct Spinner(Option<ProgressBar>);

impl Spinner {
    /// Starts to turn.
    pub(crate) fn start(words: &str) -> Self {
        if !wanted() {
            return Self(None);
        }
        let bar = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}  {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(style::visible(words));
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// Shows other words.
    pub(crate) fn say(&self, words: impl FnOnce() -> String) {
        if let Some(bar) = &self.0 {
            bar.set_message(style::visible(&words()));
        }
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// How far something with a known end has come. Nothing at all where stderr is no terminal, or nobody wants to be told.
pub(crate) struct Bar(Option<ProgressBar>);

impl Bar {
    /// Starts at nothing.
    pub(crate) fn start(words: &str, of: usize) -> Self {
        if !wanted() {
            return Self(None);
        }
        let bar = ProgressBar::new(of as u64);
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {human_pos} of {human_len}  {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(style::visible(words));
        bar.enable_steady_tick(TICK);
        Self(Some(bar))
    }

    /// So many are done.
    pub(crate) fn reached(&self, count: usize) {
        if let Some(bar) = &self.0 {
            bar.set_position(count as u64);
        }
    }

    /// Does something that writes to the terminal, out of the bar's way.
    pub(crate) fn aside<T>(&self, write: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn wanted() -> bool {
    stderr().is_terminal() && TALK.get() != Some(&Talk::Quiet)
}
