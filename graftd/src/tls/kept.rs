//! What was made of files, and is made again when they change. Connections that stand already keep what they began with.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use super::pem::MaterialError;

/// How often it is looked whether the files have changed.
pub const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What changes when a file is replaced.
type Stamp = Vec<Option<(SystemTime, u64)>>;

/// Something that is made of files.
pub(super) trait Made: Sized + Send + Sync + 'static {
    /// What it is made of.
    type Of: Send + Sync;

    /// The files.
    fn files(of: &Self::Of) -> Vec<&Path>;

    /// Reads and checks all of it: what others would refuse is refused here, where it can be mended.
    fn made(of: &Self::Of) -> Result<Self, MaterialError>;

    /// When it expires, in seconds since 1970.
    fn expires(&self) -> i64;

    /// What it is, for the log.
    fn called(&self) -> String;
}

/// See the module.
#[derive(Debug)]
pub(super) struct Kept<M: Made> {
    of: M::Of,
    current: RwLock<Arc<M>>,
}

impl<M: Made> Kept<M> {
    /// Makes it for the first time.
    pub(super) fn new(of: M::Of) -> Result<Self, MaterialError> {
        let current = RwLock::new(Arc::new(M::made(&of)?));
        Ok(Self { of, current })
    }

    /// What it is made of.
    pub(super) fn of(&self) -> &M::Of {
        &self.of
    }

    /// As it is now.
    pub(super) fn current(&self) -> Arc<M> {
        self.current.read().expect("nobody panics while it is held").clone()
    }

    /// Keeps up with the files, for ever.
    pub(super) async fn follow(&self) {
        let mut seen = self.stamp();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let now = self.stamp();
            if now != seen {
                seen = now;
                self.reload();
            }
        }
    }

    /// Makes it again. What does not fit is told, and what was there stays.
    pub(super) fn reload(&self) {
        match self.again() {
            Ok(adopt) => adopt(),
            Err(error) => tracing::error!(%error, "{}: the changed files do not fit; the old ones stay in use", self.current().called()),
        }
    }

    /// Makes it again, and puts it in use when the answer is called.
    pub(super) fn again(&self) -> Result<impl FnOnce() + use<'_, M>, MaterialError> {
        let made = M::made(&self.of)?;
        Ok(move || {
            tracing::info!("{} was read again", made.called());
            *self.current.write().expect("nobody panics while it is held") = Arc::new(made);
        })
    }

    pub(super) fn stamp(&self) -> Stamp {
        let of = |path: PathBuf| {
            let meta = std::fs::metadata(path).ok()?;
            Some((meta.modified().ok()?, meta.len()))
        };
        M::files(&self.of).into_iter().map(|file| of(file.to_owned())).collect()
    }
}
