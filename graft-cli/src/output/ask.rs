//! Asking before something is done that cannot be undone, or to many: a typed answer on a terminal, and nothing else.
//!
//! Where nobody can be asked, the answer is no: a script must say `--yes`, and never hangs.

use std::io::{BufRead, Read, Write, stderr, stdin};

use tokio::task::spawn_blocking;

use super::{Output, style};
use crate::cli::which::Consent;
use crate::error::{CliError, CliResult};

/// Longest answer that is read, in bytes.
const ANSWER_BYTES_MAX: u64 = 1_024;

/// Whether it may happen: agreed to with `--yes`, or by typing `word`. `what` reads after "to", such as "discard 12 dead letters".
pub(crate) async fn agreed(output: Output, consent: &Consent, what: &str, word: &str) -> CliResult {
    if !consent.yes && !output.can_ask() {
        return Err(CliError::NotConfirmed(format!(
            "to {what}, say --yes: nobody can be asked here\n  See what it would be with --dry-run."
        )));
    }
    agreed_on_a_terminal(output, consent, what, word).await
}

/// The same for one thing that was named: where nobody can be asked, naming it is enough.
pub(crate) async fn agreed_on_a_terminal(output: Output, consent: &Consent, what: &str, word: &str) -> CliResult {
    if consent.yes || !output.can_ask() {
        return Ok(());
    }
    let question = format!("To {what}, type {word}: ");
    // Read beside the runtime, so that Ctrl-C is heard.
    let answer = spawn_blocking(move || asked(&question)).await.map_err(|error| CliError::Other(format!("failed to read: {error}")))??;
    match answer.trim() == word {
        true => Ok(()),
        false => Err(CliError::NotConfirmed("nothing was changed: it was not agreed to".to_owned())),
    }
}

fn asked(question: &str) -> CliResult<String> {
    let failed = |error: std::io::Error| CliError::Other(format!("failed to ask: {error}"));
    let mut out = stderr().lock();
    write!(out, "{}", style::visible(question)).and_then(|()| out.flush()).map_err(failed)?;
    drop(out);
    let mut answer = String::new();
    stdin().lock().take(ANSWER_BYTES_MAX).read_line(&mut answer).map_err(failed)?;
    Ok(answer)
}
