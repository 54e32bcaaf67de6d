//! The public keys of the identity provider: read from a file, or from where the issuer says that they are (OpenID Connect Discovery 1.0). They are
//! looked at again every [`LOOK_EVERY`], and when a token names one that is not among them, so that a provider can change its keys; what cannot be
//! read leaves those that were there.

use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use axum::body::Body;
use http::{Request, StatusCode, Uri, header};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use jsonwebtoken::jwk::JwkSet;
use serde::Deserialize;
use tokio::sync::Notify;

/// How often they are looked at without a reason.
pub const LOOK_EVERY: Duration = Duration::from_secs(600);
/// Least time between two looks, whoever wants them.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// Longest time for an answer of the issuer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Largest document of it, in bytes.
const DOCUMENT_BYTES_MAX: usize = 1 << 20;

/// Where the keys come from.
#[derive(Clone)]
pub enum Source {
    /// A file with a JSON Web Key Set.
    File(PathBuf),
    /// What `ISSUER/.well-known/openid-configuration` names, over TLS that trusts these authorities.
    Issuer(String, Arc<rustls::ClientConfig>),
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Issuer(issuer, _) => f.debug_tuple("Issuer").field(issuer).finish_non_exhaustive(),
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
                        tracing::info!(count = keys.keys.len(), source = ?self.0.source, "the keys of the identity provider were read");
                        *self.0.current.write().expect("nobody panics while it is held") = keys;
                    }
                }
                Err(why) => {
                    tracing::error!(source = ?self.0.source, "the keys of the identity provider cannot be read: {why}; those known before stay in use")
                }
            }
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
            let _ = tokio::time::timeout(LOOK_EVERY, self.0.again.notified()).await;
        }
    }

    async fn read(&self) -> Result<JwkSet, String> {
        match &self.0.source {
            Source::File(path) => of_file(path),
            Source::Issuer(issuer, tls) => {
                let connector = HttpsConnectorBuilder::new().with_tls_config(tls.as_ref().clone()).https_or_http().enable_http1().build();
                let client = Client::builder(TokioExecutor::new()).build(connector);
                let told: Discovery =
                    document(&client, &format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))).await?;
                if told.issuer != *issuer {
                    return Err(format!("it calls itself {:?}", told.issuer));
                }
                document(&client, &told.jwks_uri).await
            }
        }
    }
}

fn of_file(path: &Path) -> Result<JwkSet, String> {
    let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    serde_json::from_slice(&text).map_err(|error| format!("{} holds no JSON Web Key Set: {error}", path.display()))
}

/// What an issuer says of itself, as far as it is needed.
#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

async fn document<T: for<'de> Deserialize<'de>>(client: &Client<HttpsConnector<HttpConnector>, Body>, address: &str) -> Result<T, String> {
    let wrong = |why: String| format!("{address}: {why}");
    let uri: Uri = address.parse().map_err(|error| wrong(format!("is no address: {error}")))?;
    if !may_be_asked(&uri) {
        return Err(wrong("is asked over https alone, or on loopback".to_owned()));
    }
    let request =
        Request::get(uri).header(header::ACCEPT, "application/json").body(Body::empty()).map_err(|error| wrong(error.to_string()))?;
    let asking = async {
        let answer = client.request(request).await.map_err(|error| wrong(why(&error)))?;
        if answer.status() != StatusCode::OK {
            return Err(wrong(format!("answered {}", answer.status())));
        }
        axum::body::to_bytes(Body::new(answer.into_body()), DOCUMENT_BYTES_MAX).await.map_err(|error| wrong(error.to_string()))
    };
    let bytes = tokio::time::timeout(ANSWER_MAX, asking).await.map_err(|_| wrong(format!("gave no answer within {ANSWER_MAX:?}")))??;
    serde_json::from_slice(&bytes).map_err(|error| wrong(format!("answered something else: {error}")))
}

/// Keys in the clear could be anybody's, but for those of this machine.
pub fn may_be_asked(uri: &Uri) -> bool {
    let loopback =
        |host: &str| host == "localhost" || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => uri.host().is_some(),
        Some("http") => uri.host().is_some_and(loopback),
        _ => false,
    }
}

/// The error and what caused it, in one line.
fn why(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(&format!(": {cause}"));
        source = cause.source();
    }
    text
}
