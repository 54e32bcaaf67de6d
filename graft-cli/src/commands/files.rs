//! Files that are written whole or not at all.

use std::path::Path;

use tempfile::NamedTempFile;

use crate::error::{CliError, CliResult};
use crate::output::note;

/// A file beside the one that is meant, so that it can take its place as a whole. Readable by its owner alone.
pub(super) fn beside(path: &Path) -> CliResult<NamedTempFile> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    NamedTempFile::new_in(dir).map_err(|error| failed(path, &error))
}

/// Puts the file in its place, once all of it is on disk.
pub(super) fn keep(file: NamedTempFile, path: &Path) -> CliResult {
    file.as_file().sync_all().map_err(|error| failed(path, &error))?;
    file.persist(path).map_err(|error| failed(path, &error.error))?;
    note(&format!("Written to {}.", path.display()));
    Ok(())
}

pub(super) fn failed(path: &Path, error: &std::io::Error) -> CliError {
    CliError::Other(format!("failed to write {}: {error}", path.display()))
}
