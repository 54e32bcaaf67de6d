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
        if !stderr().is_terminal() || TALK.get() == Some(&Talk::Quiet) {
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
