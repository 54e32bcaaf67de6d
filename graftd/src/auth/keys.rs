//! The public keys of the identity provider: read from a file, or from where the issuer says that they are (OpenID Connect Discovery 1.0). They are
//! looked at again every [`LOOK_EVERY`], and when a token names one that is not among them, so that a provider can change its keys; what cannot be
//! read leaves those that were there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use tokio::sync::Notify;

use crate::tls::outside::Outside;

/// How often they are looked at without a reason.
pub const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Least time between two looks, whoever wants them.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Where the keys come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A file with a JSON Web Key Set.
    File(PathBuf),
    /// What `ISSUER/.well-known/openid-configuration` names.
    Issuer(String, Box<Outside>),
}

impl Source {
    fn called(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Issuer(issuer, _) => issuer.clone(),
        }
    }
}

/// The keys, as they are known now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Keys(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    source: Source,
    current: RwLock<Arc<JwkSet>>,
    again: Notify,
}

impl Keys {
    /// Keys from there. Those of a file are read at once; those of an issuer by [`Keys::follow`].
    ///
    /// # Errors
    /// If the file cannot be read, or holds something else.
    pub fn new(source: Source) -> Result<Self, String> {
        let first = match &source {
            Source::File(path) => of_file(path)?,
            Source::Issuer(..) => JwkSet { keys: Vec::new() },
        };
        Ok(Self(Arc::new(Shared { source, current: RwLock::new(Arc::new(first)), again: Notify::new() })))
    }

    /// As they are known now.
    pub fn now(&self) -> Arc<JwkSet> {
        self.0.current.read().expect("nobody panics while it is held").clone()
    }

    /// There may be others.
    pub fn look_again(&self) {
        self.0.again.notify_one();
    }

    /// Keeps up with them, for ever.
    pub async fn follow(&self) {
        loop {
            match self.read().await {
                Ok(keys) => {
                    let keys = Arc::new(keys);
                    if *self.now() != *keys {
                        tracing::info!(
                            count = keys.keys.len(),
                            source = self.0.source.called(),
                            "the keys of the identity provider were read"
                        );
                        *self.0.current.write().expect("nobody panics while it is held") = keys;
                    }
                }
                Err(why) => {
                    tracing::error!(
                        source = self.0.source.called(),
                        "the keys of the identity provider cannot be read: {why}; those known before stay in use"
                    )
                }
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            let _ = tokio::time::timeout(LOOK_EVERY, self.0.again.notified()).await;
        }
    }

    async fn read(&self) -> Result<JwkSet, String> {
        match &self.0.source {
            Source::File(path) => of_file(path),
            Source::Issuer(issuer, outside) => {
                let address = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
                let keys = address_of_keys(issuer, &outside.document(&address).await?).map_err(|why| format!("{address}: {why}"))?;
                key_set(&outside.document(&keys).await?).map_err(|why| format!("{keys}: {why}"))
            }
        }
    }
}

fn of_file(path: &Path) -> Result<JwkSet, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    key_set(&text).map_err(|why| format!("{}: {why}", path.display()))
}

/// Reads a JSON Web Key Set (RFC 7517).
///
/// # Errors
/// It is none.
pub fn key_set(document: &[u8]) -> Result<JwkSet, String> {
    serde_json::from_slice(document).map_err(|error| format!("this is no JSON Web Key Set: {error}"))
}

/// What an issuer says of itself, as far as it is needed.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// Reads where this issuer publishes its keys, in what it says of itself.
///
/// # Errors
/// It says something else, or is another issuer.
pub fn address_of_keys(issuer: &str, document: &[u8]) -> Result<String, String> {
    let told: Discovery = serde_json::from_slice(document).map_err(|error| format!("this is no discovery document: {error}"))?;
    if told.issuer != issuer {
        return Err(format!("it calls itself {:?}", told.issuer));
    }
    Ok(told.jwks_uri)
}
