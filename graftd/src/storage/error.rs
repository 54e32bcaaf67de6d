//! What can go wrong with a file, said so that an operator can act on it.

use std::fmt::Display;
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// Whether the file is at fault, or what it lies on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The file is not what it should be: damaged, of another version, or of another member. It stays as it is until a person does something.
    File,
    /// The disk or the system refuses: read-only, full, broken.
    Disk,
    /// Somebody else has the file open.
    Busy,
}

/// A storage failure. The member must stop: redb refuses all work after an IO error until the file is opened again, and a replica that
/// guesses is worse than one that is down.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{doing}: {cause}")]
pub struct StorageError {
    /// What was being done, to which file.
    pub doing: String,
    /// What the system said.
    pub cause: String,
    /// What is at fault.
    pub fault: Fault,
}

/// What can be the cause of a failure, and what is at fault then.
pub(super) trait Cause: Display {
    fn fault(&self) -> Fault;
}

impl Cause for redb::Error {
    fn fault(&self) -> Fault {
        match self {
            // A file that ends early is not the disk's.
            Self::Io(error) => error.fault(),
            Self::DatabaseAlreadyOpen => Fault::Busy,
            Self::Corrupted(_) | Self::UpgradeRequired(_) | Self::RepairAborted => Fault::File,
            Self::TableTypeMismatch { .. }
            | Self::TableIsMultimap(_)
            | Self::TableIsNotMultimap(_)
            | Self::TypeDefinitionChanged { .. } => Fault::File,
            _ => Fault::Disk,
        }
    }
}

impl Cause for std::io::Error {
    fn fault(&self) -> Fault {
        match self.kind() {
            std::io::ErrorKind::InvalidData | std::io::ErrorKind::UnexpectedEof => Fault::File,
            _ => Fault::Disk,
        }
    }
}

/// What we have found ourselves, looking at the bytes.
impl Cause for String {
    fn fault(&self) -> Fault {
        Fault::File
    }
}

impl Cause for &str {
    fn fault(&self) -> Fault {
        Fault::Disk
    }
}

impl StorageError {
    pub(super) fn new(doing: impl Display, cause: impl Cause) -> Self {
        Self { doing: doing.to_string(), fault: cause.fault(), cause: cause.to_string() }
    }

    /// For `map_err`: names the action and the file.
    pub(super) fn during<E: Cause>(action: &str, path: &Path) -> impl Fn(E) -> Self {
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
