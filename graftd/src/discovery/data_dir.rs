//! The data directory: who owns it, what is in it, and that only one process uses it.
//!
//! ```text
//! lock           held while a daemon runs here
//! identity       raft id and name, written once, when the directory is formatted
//! promise.json   the proposal that this member has promised itself to
//! cluster.json   the marker: member of a formed cluster
//! left.json      the marker again: it has left that cluster for good, and begins anew when it is started
//! log.redb       consensus: entries, vote
//! state.redb     the machine's tables
//! ```
//!
//! A small file is written beside, synced, renamed, and its directory synced: it is there whole, or not at all. A directory with foreign
//! files in it is never formatted, and one whose files contradict each other is refused rather than repaired.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::records::{FORMAT, Identity, Marker, Proposal};

const LOCK: &str = "lock";
const IDENTITY: &str = "identity";
const PROMISE: &str = "promise.json";
const MARKER: &str = "cluster.json";
const LEFT: &str = "left.json";
const LOG: &str = "log.redb";
const STATE: &str = "state.redb";
/// What may stand in a directory that is formatted: our lock, and what a file system makes by itself.
const NOT_FOREIGN: &[&str] = &[LOCK, LEFT, "lost+found"];

/// What only a member has: beside it there must be its identity.
const OURS: &[&str] = &[PROMISE, MARKER, LOG, STATE];

/// A data directory that this process owns until the value is dropped.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    _lock: File,
}

/// What the small files say.
#[derive(Debug)]
pub struct Contents {
    /// Who this member is.
    pub identity: Identity,
    /// Its promise, if it has given one.
    pub promise: Option<Proposal>,
    /// Its marker, if it is a member.
    pub marker: Option<Marker>,
    /// The marker of the cluster that it has left for good, if it has.
    pub left: Option<Marker>,
}

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process uses it.
    #[error(
        "data directory {path}: another graftd is running on it\n  → stop that one, or give this one a directory of its own with --data-dir"
    )]
    Locked {
        /// The directory.
        path: String,
    },
    /// The system refused.
    #[error("data directory {path}: failed to {doing}: {cause}\n  → check that this user may write there and that the disk is not full")]
    Io {
        /// The directory or file.
        path: String,
        /// What was tried.
        doing: &'static str,
        /// What the system said.
        cause: io::Error,
    },
    /// It holds something else.
    #[error(
        "data directory {path}: it holds files that are not Graft's (`{found}`) and no identity\n  → name an empty directory, or one that does not exist yet"
    )]
    Foreign {
        /// The directory.
        path: String,
        /// One of the files.
        found: String,
    },
    /// A file cannot be understood, or contradicts another.
    #[error("data directory {path}: `{file}` {why}\n  → {remedy}")]
    Damaged {
        /// The directory.
        path: String,
        /// The file.
        file: &'static str,
        /// What is wrong with it.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It belongs to another member.
    #[error(
        "data directory {path}: it belongs to member `{owner}`, and this is `{name}`\n  → correct node.name, or use another data directory"
    )]
    OtherMember {
        /// The directory.
        path: String,
        /// Whose it is.
        owner: String,
        /// Who asks.
        name: String,
    },
    /// It belongs to another cluster.
    #[error(
        "data directory {path}: it belongs to cluster `{owner}` ({cluster_id}), and the configuration says `{name}`\n  → correct cluster.name, or use another data directory"
    )]
    OtherCluster {
        /// The directory.
        path: String,
        /// Its cluster's name.
        owner: String,
        /// Its cluster's id.
        cluster_id: String,
        /// The name in the configuration.
        name: String,
    },
}

const RESTORE: &str = "restore the whole directory from a backup; or move it away: the member then starts as a new one, with nothing";

/// Makes a directory and those above it. Each new name is on disk when this returns, or a power cut could take the whole directory with it,
/// and its member would come back as another one.
fn make_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let here = Path::new(".");
    let above = match path.parent() {
        Some(above) if !above.as_os_str().is_empty() => above,
        // Nothing is above it here: it is there, or may not be looked into.
        _ if path == here => return fs::metadata(here).and(Err(io::ErrorKind::NotADirectory.into())),
        _ => here,
    };
    make_directory(above)?;
    match DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    File::open(above)?.sync_all()
}

impl DataDir {
    /// Locks the directory, formatting it first if there is nothing in it, and reads what it says. `name` is the configured name of the
    /// member, if there is one; `fallback` names a directory that is formatted without.
    pub fn open(path: &Path, name: Option<&str>, fallback: &str, cluster_name: &str) -> Result<(Self, Contents), DataDirError> {
        let failed = |doing| move |cause| DataDirError::Io { path: path.display().to_string(), doing, cause };
        make_directory(path).map_err(failed("make it"))?;
        let lock = File::options().create(true).write(true).truncate(false).open(path.join(LOCK)).map_err(failed("open its lock"))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DataDirError::Locked { path: path.display().to_string() }),
            Err(TryLockError::Error(cause)) => return Err(failed("lock it")(cause)),
        }
        let this = Self { path: path.to_owned(), _lock: lock };
        let identity = match this.read::<Identity>(IDENTITY)? {
            Some(identity) => identity,
            None => this.format(name.unwrap_or(fallback))?,
        };
        let contents = Contents { identity, promise: this.read(PROMISE)?, marker: this.read(MARKER)?, left: this.read(LEFT)? };
        this.check(&contents, name, cluster_name)?;
        Ok((this, contents))
    }

    fn format(&self, name: &str) -> Result<Identity, DataDirError> {
        for entry in fs::read_dir(&self.path).map_err(|e| self.failed("list it", e))? {
            let found = entry.map_err(|e| self.failed("list it", e))?.file_name().to_string_lossy().into_owned();
            // What an interrupted format left behind is ours as well.
            if OURS.contains(&found.as_str()) {
                let why = format!(
                    "is missing, although there is `{found}`: data was lost, and starting as another member could undo what was acknowledged"
                );
                return Err(DataDirError::Damaged { path: self.shown(), file: IDENTITY, why, remedy: RESTORE });
            }
            if !NOT_FOREIGN.contains(&found.as_str()) && found != temporary(IDENTITY) {
                return Err(DataDirError::Foreign { path: self.shown(), found });
            }
        }
        let closed = fs::Permissions::from_mode(0o700);
        if let Err(e) = fs::set_permissions(&self.path, closed) {
            tracing::warn!(path = %self.shown(), "the data directory stays open to other users of this machine: {e}");
        }
        let identity = Identity::mint(name);
        self.write(IDENTITY, &identity).map_err(|e| self.failed("write its identity", e))?;
        Ok(identity)
    }

    /// Whether a member of this name, of a cluster of this name, may use the directory of that member with that marker.
    pub fn is_for(&self, member: &str, marker: Option<&Marker>, name: Option<&str>, cluster_name: &str) -> Result<(), DataDirError> {
        if let Some(name) = name.filter(|name| *name != member) {
            return Err(DataDirError::OtherMember { path: self.shown(), owner: member.to_owned(), name: name.to_owned() });
        }
        if let Some(Marker { cluster_name: owner, cluster_id, .. }) = marker.filter(|marker| marker.cluster_name != cluster_name) {
            let (owner, cluster_id) = (owner.clone(), cluster_id.clone());
            return Err(DataDirError::OtherCluster { path: self.shown(), owner, cluster_id, name: cluster_name.to_owned() });
        }
        Ok(())
    }

    fn check(&self, contents: &Contents, name: Option<&str>, cluster_name: &str) -> Result<(), DataDirError> {
        let Contents { identity, promise, marker, left } = contents;
        let damaged = |file, why: String, remedy| DataDirError::Damaged { path: self.shown(), file, why, remedy };
        let formats = [
            (IDENTITY, Some(identity.format)),
            (PROMISE, promise.as_ref().map(|promise| promise.format)),
            (MARKER, marker.as_ref().map(|marker| marker.format)),
            (LEFT, left.as_ref().map(|left| left.format)),
        ];
        for (file, format) in formats {
            if let Some(format) = format.filter(|format| *format != FORMAT) {
                return Err(damaged(
                    file,
                    format!("has format {format}; this program reads {FORMAT}"),
                    "use the version of graftd that wrote it",
                ));
            }
        }
        if let Some(marker) = marker.as_ref().filter(|marker| marker.raft_id != identity.raft_id || marker.member != identity.member) {
            let why = format!(
                "is of member `{}` ({}), `identity` of `{}` ({})",
                marker.member, marker.raft_id, identity.member, identity.raft_id
            );
            return Err(damaged(MARKER, why, RESTORE));
        }
        self.is_for(&identity.member, marker.as_ref(), name, cluster_name)?;
        if marker.is_none() {
            return Ok(());
        }
        for file in [LOG, STATE] {
            if !self.path.join(file).exists() {
                return Err(self.store_lost(file, "is missing".into()));
            }
        }
        Ok(())
    }

    /// The marker says that there must be a raft store, and there is none to be used: the member stops before it could vote anew.
    pub fn raft_store_lost(&self, why: String) -> DataDirError {
        self.store_lost(LOG, why)
    }

    fn store_lost(&self, file: &'static str, why: String) -> DataDirError {
        let why = format!(
            "{why}, although this is a member of a formed cluster (`{MARKER}`): data was lost, and starting empty could undo what was acknowledged"
        );
        DataDirError::Damaged { path: self.shown(), file, why, remedy: RESTORE }
    }

    /// The marker; on disk when it returns.
    pub fn write_marker(&self, marker: &Marker) -> io::Result<()> {
        self.write(MARKER, marker)
    }

    /// Says that the member of this marker has left its cluster for good; on disk when it returns.
    pub fn write_left(&self, marker: &Marker) -> io::Result<()> {
        self.write(LEFT, marker)
    }

    /// Forgets all that a member which has left knew, and formats the directory for one with a new raft id. Broken off, it is done again.
    pub fn begin_anew(&self, name: &str) -> Result<Contents, DataDirError> {
        // The marker first, since it vouches for the rest; what says that all may go goes last.
        for file in [MARKER, PROMISE, LOG, STATE, IDENTITY] {
            self.remove(file)?;
        }
        let identity = self.format(name)?;
        self.remove(LEFT)?;
        Ok(Contents { identity, promise: None, marker: None, left: None })
    }

    fn remove(&self, file: &str) -> Result<(), DataDirError> {
        let removed = match fs::remove_file(self.path.join(file)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other,
        };
        removed.and_then(|()| File::open(&self.path)?.sync_all()).map_err(|e| self.failed("remove a file of a member that has left", e))
    }

    /// The promise; on disk when it returns.
    pub fn write_promise(&self, promise: &Proposal) -> io::Result<()> {
        self.write(PROMISE, promise)
    }

    /// Where the log is.
    pub fn log_path(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// Where the state is.
    pub fn state_path(&self) -> PathBuf {
        self.path.join(STATE)
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn shown(&self) -> String {
        self.path.display().to_string()
    }

    fn failed(&self, doing: &'static str, cause: io::Error) -> DataDirError {
        DataDirError::Io { path: self.shown(), doing, cause }
    }

    fn read<T: DeserializeOwned>(&self, file: &'static str) -> Result<Option<T>, DataDirError> {
        let bytes = match fs::read(self.path.join(file)) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(self.failed("read a file in it", e)),
        };
        let unreadable = |e: serde_json::Error| DataDirError::Damaged {
            path: self.shown(),
            file,
            why: format!("cannot be understood: {e}"),
            remedy: RESTORE,
        };
        serde_json::from_slice(&bytes).map(Some).map_err(unreadable)
    }

    fn write<T: Serialize>(&self, file: &str, value: &T) -> io::Result<()> {
        let temporary = self.path.join(temporary(file));
        let mut bytes = serde_json::to_vec_pretty(value)?;
        bytes.push(b'\n');
        let mut out = File::create(&temporary)?;
        out.write_all(&bytes)?;
        out.sync_all()?;
        fs::rename(&temporary, self.path.join(file))?;
        File::open(&self.path)?.sync_all()
    }
}

fn temporary(file: &str) -> String {
    format!("{file}.new")
}

#[cfg(test)]
mod tests {
    use super::super::records::Candidate;
    use super::*;

    fn open(path: &Path, name: Option<&str>) -> Result<(DataDir, Contents), DataDirError> {
        DataDir::open(path, name, "host", "graft")
    }

    fn marker(identity: &Identity) -> Marker {
        let (member, raft_id) = (identity.member.clone(), identity.raft_id);
        Marker { format: FORMAT, cluster_id: "c1".into(), cluster_name: "graft".into(), epoch: 1, member, raft_id }
    }

    #[test]
    fn a_new_directory_is_closed_to_others_and_keeps_its_identity() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/data");
        let first = open(&path, None).unwrap().1.identity;
        assert_eq!(first.member, "host");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(open(&path, Some("host")).unwrap().1.identity, first);
        assert_ne!(open(&dir.path().join("other"), None).unwrap().1.identity.raft_id, first.raft_id);
    }

    #[test]
    fn a_second_process_is_told_that_the_directory_is_in_use() {
        let dir = tempfile::tempdir().unwrap();
        let _first = open(dir.path(), None).unwrap();
        assert!(matches!(open(dir.path(), None), Err(DataDirError::Locked { .. })));
    }

    #[test]
    fn a_directory_with_other_things_in_it_is_not_formatted() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
        let said = open(dir.path(), None).unwrap_err().to_string();
        assert!(said.contains("thesis.txt"), "{said}");
    }

    #[test]
    fn a_directory_is_refused_to_another_member_and_to_another_cluster() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (data, contents) = open(dir.path(), Some("a")).unwrap();
            fs::write(data.log_path(), "").unwrap();
            fs::write(data.state_path(), "").unwrap();
            data.write_marker(&marker(&contents.identity)).unwrap();
        }
        assert!(matches!(open(dir.path(), Some("b")), Err(DataDirError::OtherMember { .. })));
        assert!(matches!(DataDir::open(dir.path(), None, "host", "other"), Err(DataDirError::OtherCluster { .. })));
        assert_eq!(open(dir.path(), Some("a")).unwrap().1.marker.unwrap().cluster_id, "c1");
    }

    #[test]
    fn a_marker_without_its_raft_store_is_data_loss_and_says_so() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (data, contents) = open(dir.path(), None).unwrap();
            fs::write(data.state_path(), "").unwrap();
            data.write_marker(&marker(&contents.identity)).unwrap();
        }
        let said = open(dir.path(), None).unwrap_err().to_string();
        assert!(said.contains("`log.redb` is missing") && said.contains("data was lost"), "{said}");
    }

    #[test]
    fn a_marker_of_another_data_directory_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        {
            let (data, contents) = open(dir.path(), None).unwrap();
            fs::write(data.log_path(), "").unwrap();
            fs::write(data.state_path(), "").unwrap();
            data.write_marker(&Marker { raft_id: 7, ..marker(&contents.identity) }).unwrap();
        }
        assert!(matches!(open(dir.path(), None), Err(DataDirError::Damaged { file: MARKER, .. })));
    }

    #[test]
    fn who_has_left_begins_anew_also_after_it_was_broken_off() {
        let dir = tempfile::tempdir().unwrap();
        let old = {
            let (data, contents) = open(dir.path(), Some("a")).unwrap();
            fs::write(data.log_path(), "old").unwrap();
            fs::write(data.state_path(), "old").unwrap();
            data.write_marker(&marker(&contents.identity)).unwrap();
            data.write_left(&marker(&contents.identity)).unwrap();
            contents.identity
        };
        {
            let (data, contents) = open(dir.path(), Some("a")).unwrap();
            assert_eq!(contents.left.as_ref(), contents.marker.as_ref(), "nothing is gone before somebody asks for it");
            // It came as far as this.
            data.remove(MARKER).unwrap();
            data.remove(IDENTITY).unwrap();
            data.remove(LOG).unwrap();
            data.remove(STATE).unwrap();
        }
        let (data, contents) = open(dir.path(), Some("a")).unwrap();
        assert!(contents.left.is_some());
        let anew = data.begin_anew("a").unwrap();
        assert!(anew.left.is_none() && anew.marker.is_none());
        assert_ne!(anew.identity.raft_id, old.raft_id);
        drop(data);
        let (data, contents) = open(dir.path(), Some("a")).unwrap();
        assert_eq!((contents.identity, contents.left), (anew.identity, None));
        assert!(!data.log_path().exists() && !data.state_path().exists());
    }

    #[test]
    fn a_promise_is_read_back_and_a_broken_one_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let me = Candidate { name: "a".into(), raft_id: 1, peer_address: "p".into(), client_address: "c".into() };
        let proposal = Proposal::mint("graft", vec![me]);
        open(dir.path(), None).unwrap().0.write_promise(&proposal).unwrap();
        assert_eq!(open(dir.path(), None).unwrap().1.promise.unwrap().hash(), proposal.hash());
        fs::write(dir.path().join(PROMISE), "{").unwrap();
        assert!(matches!(open(dir.path(), None), Err(DataDirError::Damaged { file: PROMISE, .. })));
    }
}
