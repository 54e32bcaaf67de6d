//! `graft workflow export`

use std::io::Write;

use futures::StreamExt;

use super::handle;
use crate::cli::Format;
use crate::cli::workflow::Export;
use crate::commands::Session;
use crate::commands::files::{beside, failed, keep};
use crate::error::{CliError, CliResult};
use crate::output::spinner::Spinner;
use crate::output::yaml;

/// Writes a workflow that has ended as one JSON document; to a file, all of it or nothing.
pub(crate) async fn run(session: &Session, args: &Export) -> CliResult {
    let mut pieces = handle(session, &args.target).export();
    let spinner = Spinner::start("exporting");
    let mut bytes = 0;
    let mut say = |more: usize| {
        bytes += more;
        spinner.say(|| format!("exporting: {} KiB", bytes >> 10));
    };
    if session.output.format() == Format::Yaml || args.file.is_none() {
        let mut document = Vec::new();
        while let Some(piece) = pieces.next().await {
            let piece = piece?;
            say(piece.len());
            document.extend_from_slice(&piece);
        }
        drop(spinner);
        let text = String::from_utf8(document).map_err(|error| CliError::Other(format!("the export is no text: {error}")))?;
        let text = if session.output.format() == Format::Yaml { yaml::of_json(&text)? } else { text.trim_end().to_owned() + "\n" };
        return match &args.file {
            None => session.output.text(&text),
            Some(path) => {
                let mut file = beside(path)?;
                file.write_all(text.as_bytes()).map_err(|error| failed(path, &error))?;
                keep(file, path)
            }
        };
    }
    let Some(path) = &args.file else { return Ok(()) };
    let mut file = beside(path)?;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        say(piece.len());
        file.write_all(&piece).map_err(|error| failed(path, &error))?;
    }
    drop(spinner);
    keep(file, path)
}
