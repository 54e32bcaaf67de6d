//! What can go wrong with a file, said so that an operator can act on it.

use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// A storage failure. The member must stop: redb refuses all work after an IO error until the file is opened again, and a replica that
/// guesses is worse than one that is down.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{doing}: {cause}")]
pub struct StorageError {
    /// What was being done, to which file.
    pub doing: String,
    /// What the system said.
    pub cause: String,
}

impl StorageError {
    pub(super) fn new(doing: impl Display, cause: impl Display) -> Self {
        Self { doing: doing.to_string(), cause: cause.to_string() }
    }

    /// For `map_err`: names the action and the file.
    pub(super) fn during<E: Display>(action: &str, path: &Path) -> impl Fn(E) -> Self {
        let doing = format!("{action} {}", path.display());
        move |cause| Self::new(&doing, cause)
    }
}

/// The first failure of a store, kept for ever: whoever waits or writes after it is told.
#[derive(Clone, Debug, Default)]
pub(super) struct Failure(Arc<OnceLock<StorageError>>);

impl Failure {
    /// Remembers the first failure; later ones are consequences.
    pub(super) fn set(&self, error: StorageError) {
        if self.0.set(error.clone()).is_ok() {
            tracing::error!(%error, "storage has failed: this member must stop");
        }
    }

    pub(super) fn get(&self) -> Option<&StorageError> {
        self.0.get()
    }

    /// `Err` if the store has failed.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        self.get().map_or(Ok(()), |error| Err(error.clone()))
    }
}
