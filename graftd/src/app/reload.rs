//! The configuration is read again while the daemon runs: all of it is checked before any of it takes effect, and what is wrong changes nothing.
//!
//! What a running daemon takes over goes to the floors by the same functions as at the start (`options.rs`), into places that each floor reads whenever
//! it decides something. The files for TLS are read again, too, though nobody has to ask for that: they are followed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::error::StartError;
use super::options;
use crate::auth::Auth;
use crate::auth::redacted::Fields;
use crate::config::{Change, Config, ConfigError, Loaded, PrintArgs, Size, print};
use crate::consensus::Consensus;
use crate::discovery::formation::Formation;
use crate::observability::logging::Level;
use crate::observability::reloads::Reloads;
use crate::tls::MaterialError;
use crate::tls::clients::ClientTls;
use crate::tls::members::PeerSecurity;

/// Why a configuration that was read again is not taken over.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It was refused.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The files for TLS do not fit.
    #[error("{0}")]
    Tls(#[from] MaterialError),
    /// What callers are asked about cannot be read.
    #[error("{0}")]
    Auth(String),
    /// The process does not take the level of its log.
    #[error("log.level: {0}")]
    Level(String),
}

/// What of the configuration floors read anew whenever they need it.
#[derive(Debug)]
pub(super) struct Live {
    /// Room on the disk that is kept.
    pub(super) disk_reserve: watch::Sender<Option<Size>>,
    /// How long an ended workflow is kept if its start does not say, in milliseconds.
    pub(super) retention_default_ms: watch::Sender<u64>,
    /// Fields of states and configs that few may see.
    pub(super) redacted: watch::Sender<Arc<Fields>>,
    /// The configuration in force, as a file that says the same and who said it.
    pub(super) shown: watch::Sender<Arc<str>>,
}

impl Live {
    pub(super) fn of(loaded: &Loaded) -> Self {
        let config = &loaded.config;
        Self {
            disk_reserve: watch::Sender::new(config.storage.disk_reserve),
            retention_default_ms: watch::Sender::new(config.workflow.retention.millis()),
            redacted: watch::Sender::new(options::redacted(config)),
            shown: watch::Sender::new(shown(loaded)),
        }
    }

    fn become_as(&self, loaded: &Loaded) {
        let config = &loaded.config;
        self.disk_reserve.send_replace(config.storage.disk_reserve);
        self.retention_default_ms.send_replace(config.workflow.retention.millis());
        self.redacted.send_replace(options::redacted(config));
        self.shown.send_replace(shown(loaded));
    }
}

fn shown(loaded: &Loaded) -> Arc<str> {
    print(loaded, &PrintArgs { show_origin: true, ..PrintArgs::default() }).into()
}

/// The configuration in force, and whom it has to be told.
pub(super) struct InForce {
    pub(super) loaded: Mutex<Loaded>,
    pub(super) live: Live,
    pub(super) consensus: Consensus,
    /// Who this member is, and whether it has a cluster.
    pub(super) formation: Arc<Formation>,
    pub(super) peer_security: PeerSecurity,
    pub(super) client_tls: Option<ClientTls>,
    pub(super) auth: Arc<Auth>,
    /// That of the process, if the daemon is what it runs.
    pub(super) level: Option<Level>,
    pub(super) reloads: Reloads,
}

impl InForce {
    /// Takes over what was read again, if it was good, and says in the log what came of it.
    pub(super) fn reload(&self, read: Result<Loaded, ConfigError>) -> Result<Vec<Change>, ReloadError> {
        let done = read.and_then(Loaded::good).map_err(ReloadError::from).and_then(|later| self.take_over(&later));
        self.reloads.count(done.is_ok());
        match &done {
            Ok(changes) => {
                for Change { key, was, now, said_in, live } in changes {
                    match live {
                        true => tracing::info!(key, was, now, %said_in, "{key} is {now} from now on"),
                        false => tracing::warn!(key, was, now, %said_in, "{key} stays {was} until a restart: it is configured as {now}"),
                    }
                }
                let waiting = changes.iter().filter(|change| !change.live).count();
                tracing::info!(changed = changes.len() - waiting, waiting, "the configuration was read again");
            }
            Err(error) => tracing::error!("the configuration was read again and is refused, nothing has changed: {error}"),
        }
        done
    }

    fn take_over(&self, later: &Loaded) -> Result<Vec<Change>, ReloadError> {
        // What a program says was not looked at yet.
        later.config.check()?;
        let peers_adopt = self.peer_security.again()?;
        let clients_adopt = self.client_tls.as_ref().map(ClientTls::again).transpose()?;
        let asked = options::asked(&later.config).map_err(|error| ReloadError::Auth(error.to_string()))?;
        let mut loaded = self.loaded.lock().expect("nobody panics while it is held");
        if let Some(level) = &self.level {
            level.configure(&later.config.log.level).map_err(ReloadError::Level)?;
        }
        // From here on nothing can fail.
        peers_adopt();
        if let Some(adopt) = clients_adopt {
            adopt();
        }
        if self.auth.ask(asked) {
            tracing::info!("callers are asked anew: the root token, or what is asked of callers, is another from now on");
        }
        let changes = loaded.take_over(later);
        self.consensus.set_membership_rules(options::membership(&loaded.config));
        self.live.become_as(&loaded);
        if changes.iter().any(|change| !change.live) {
            let files = options::unfit_files(&later.config, &self.formation.hello().member_name, self.formation.marker().is_some());
            let named = self.formation.may_be(later.config.node.name.as_deref(), &later.config.cluster.name);
            for unfit in named.err().map(StartError::from).into_iter().chain(files) {
                tracing::warn!("with this configuration the next start is refused: {unfit}");
            }
        }
        Ok(changes)
    }

    /// How long a drain may take.
    pub(super) fn grace(&self) -> Duration {
        self.config(|config| config.shutdown.grace.duration())
    }

    fn config<T>(&self, look: impl FnOnce(&Config) -> T) -> T {
        look(&self.loaded.lock().expect("nobody panics while it is held").config)
    }
}
