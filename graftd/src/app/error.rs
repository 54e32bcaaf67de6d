//! Why a daemon does not start, or cannot go on; and with which exit code the process ends.

use crate::config::ConfigError;
use crate::discovery::data_dir::DataDirError;
use crate::tls::MaterialError;

/// The configuration, or what it points to, has to be corrected by a person.
pub const EXIT_CONFIG: u8 = 78;
/// The data directory belongs to another cluster.
pub const EXIT_OTHER_CLUSTER: u8 = 77;
/// The member was taken out of its cluster, or left behind by a recovery: with this data directory it never takes part again.
pub const EXIT_REMOVED: u8 = 76;
/// The disk refuses: it is read-only, full or broken.
pub const EXIT_DISK: u8 = 74;
/// It may work the next time: somebody else has the port or the directory.
pub const EXIT_TEMPORARY: u8 = 75;
/// A file of the data directory is damaged, missing, of another version or of another member; or what the others write is of a later version.
pub const EXIT_DATA: u8 = 65;
/// It stopped because going on would have been wrong.
pub const EXIT_FATAL: u8 = 70;

/// Why a daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration was refused.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The data directory cannot be used.
    #[error("{0}")]
    DataDir(#[from] DataDirError),
    /// A port cannot be listened on.
    #[error("{key}: cannot listen on {address}: {cause}\n  → {remedy}")]
    Port {
        /// The key that names it.
        key: &'static str,
        /// The address.
        address: String,
        /// What the system said.
        cause: std::io::Error,
        /// What to do.
        remedy: &'static str,
    },
    /// The files for TLS between members do not fit.
    #[error("{0}\n  → `graft tls issue` makes what fits; cluster.peer_ca, peer_cert and peer_key name the files")]
    PeerTls(#[from] MaterialError),
    /// The files for TLS with clients do not fit.
    #[error("{0}\n  → `graft tls issue MEMBER --host HOST` makes what fits; client.cert, client.key and client.callers_ca name the files")]
    ClientTls(MaterialError),
    /// The collector's authorities cannot be read.
    #[error(
        "{0}\n  → tracing.ca names a file (PEM) with the authorities that the collector's certificate may be of; without it those of this machine count"
    )]
    Collector(MaterialError),
    /// The headers for the collector cannot be read.
    #[error("{0}\n  → tracing.headers_file names a file with what the collector wants, `name: value` in a line")]
    CollectorHeaders(String),
    /// The file with the join token cannot be used.
    #[error("cluster.join_token_file: {path}: {cause}\n  → name a file with what `graft cluster join-token create` has printed")]
    JoinToken {
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// What callers are asked about cannot be read.
    #[error("{key}: {path}: {cause}\n  → {}", what_auth_wants(key))]
    Auth {
        /// The key that names it.
        key: &'static str,
        /// The file.
        path: String,
        /// What is wrong with it.
        cause: String,
    },
    /// Log or state are not what they should be.
    #[error(
        "the data cannot be used: {0}\n  → run the graftd version that wrote it, or restore the whole data directory from a backup; a member of a cluster can also start as a new one, with an empty data directory"
    )]
    Data(String),
    /// Log or state are open already, which the lock of the directory keeps other daemons from.
    #[error("the data are in use: {0}\n  → stop what has them open")]
    Busy(String),
    /// The disk below log or state refuses.
    #[error(
        "the disk refuses: {0}\n  → make room on it, mount it writable, or replace it; nothing that was acknowledged is lost by this refusal"
    )]
    Disk(String),
    /// Log or state cannot be opened.
    #[error("failed to open the data: {0}")]
    Storage(String),
    /// What cannot happen, or the system refuses what it never refuses.
    #[error("{0}")]
    Internal(String),
}

fn what_auth_wants(key: &str) -> &'static str {
    match key {
        "auth.root_token_file" => "make one that nobody can guess: (umask 077; head -c 32 /dev/urandom | base64 > root.token)",
        _ => "name a file with the keys of the provider, as it publishes them (JSON Web Key Set)",
    }
}

impl StartError {
    /// The exit code of the process.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::PeerTls(_) | Self::ClientTls(_) | Self::JoinToken { .. } | Self::Auth { .. } => EXIT_CONFIG,
            Self::Collector(_) | Self::CollectorHeaders(_) => EXIT_CONFIG,
            Self::DataDir(DataDirError::OtherCluster { .. }) => EXIT_OTHER_CLUSTER,
            Self::DataDir(DataDirError::Locked { .. }) | Self::Busy(_) => EXIT_TEMPORARY,
            Self::DataDir(DataDirError::Damaged { .. }) | Self::Data(_) => EXIT_DATA,
            Self::DataDir(DataDirError::Io { cause, .. }) if of_the_disk(cause) => EXIT_DISK,
            Self::DataDir(_) => EXIT_CONFIG,
            Self::Disk(_) => EXIT_DISK,
            Self::Port { cause, .. } if cause.kind() == std::io::ErrorKind::AddrInUse => EXIT_TEMPORARY,
            Self::Port { .. } => EXIT_CONFIG,
            Self::Storage(_) | Self::Internal(_) => EXIT_FATAL,
        }
    }
}

/// Whether it is the disk that refuses, and not the right to use it or its name.
fn of_the_disk(cause: &std::io::Error) -> bool {
    use std::io::ErrorKind::{NotADirectory, NotFound, PermissionDenied};
    !matches!(cause.kind(), PermissionDenied | NotFound | NotADirectory)
}

/// Why a running daemon cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// What happened.
    pub reason: String,
    /// The exit code of the process.
    pub exit_code: u8,
}

impl Failure {
    /// Going on would be wrong, and no configuration is to blame.
    pub fn fatal(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), exit_code: EXIT_FATAL }
    }

    /// This member is one no more.
    pub fn removed(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), exit_code: EXIT_REMOVED }
    }

    /// What the others write is of a version that this build cannot follow.
    pub fn left_behind(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), exit_code: EXIT_DATA }
    }

    /// The configuration led here.
    pub fn misconfigured(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), exit_code: EXIT_CONFIG }
    }
}
