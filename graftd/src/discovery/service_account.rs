//! How a pod speaks to the API server of Kubernetes: as its service account, with the files that Kubernetes puts into each pod.

use std::path::PathBuf;
use std::time::Duration;

use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject};
use kube::config::AuthInfo;
use serde_json::Value;
use tokio::time::timeout;

/// What a server says of an object that is not there.
const NOT_FOUND: u16 = 404;

/// Whom to ask, and as whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceAccount {
    /// URL of the API server; `None`: it is not known.
    pub server: Option<String>,
    /// Where the files `token`, `ca.crt` and `namespace` are.
    pub account: PathBuf,
    /// The namespace that is meant; `None`: that of the account.
    pub namespace: Option<String>,
    /// Longest time for a connection.
    pub answer: Duration,
}

impl ServiceAccount {
    /// The namespace that is meant.
    ///
    /// # Errors
    /// If none is named and the account's cannot be read.
    pub fn namespace(&self) -> Result<String, String> {
        if let Some(namespace) = &self.namespace {
            return Ok(namespace.clone());
        }
        let file = self.account.join("namespace");
        let read = std::fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        Ok(read.trim().to_owned())
    }

    /// What a client needs to speak as the account. The files are read by the client, and again when they change.
    ///
    /// # Errors
    /// If nobody says where the server is, or a file is missing.
    pub fn config(&self) -> Result<kube::Config, String> {
        let server = self.server.as_ref();
        let server = server.ok_or("this is no pod (KUBERNETES_SERVICE_HOST is not set), and discovery.kubernetes_api names no server")?;
        let encrypted = server.starts_with("https:");
        // What kube says of a file that is not there does not name the file.
        for file in [Some("token"), encrypted.then_some("ca.crt")].into_iter().flatten().map(|file| self.account.join(file)) {
            std::fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        }
        let mut config = kube::Config::new(server.parse().map_err(|error| format!("{server}: {error}"))?);
        let token = self.account.join("token").display().to_string();
        config.auth_info = AuthInfo { token_file: Some(token), ..AuthInfo::default() };
        config.connect_timeout = Some(self.answer);
        // What is tried again, and when, is decided in one place.
        config.default_retry = false;
        if encrypted {
            // Nobody else's authority counts.
            config.root_cert = Some(Vec::new());
            config.root_cert_file = Some(self.account.join("ca.crt"));
        }
        Ok(config)
    }

    /// The objects of a kind, in the namespace that is meant.
    pub(super) fn objects(&self, kind: &ApiResource) -> Result<Api<DynamicObject>, String> {
        let client = Client::try_from(self.config()?).map_err(|error| innermost(&error))?;
        Ok(Api::namespaced_with(client, &self.namespace()?, kind))
    }

    /// An object; `None`: there is none of that name.
    pub(super) async fn get(&self, kind: &ApiResource, name: &str) -> Result<Option<Value>, String> {
        let objects = self.objects(kind)?;
        match self.in_time(objects.get(name)).await? {
            Ok(found) => serde_json::to_value(found).map(Some).map_err(|error| error.to_string()),
            Err(kube::Error::Api(status)) if status.code == NOT_FOUND => Ok(None),
            Err(error) => Err(told(&error)),
        }
    }

    /// What comes of a request, if that comes in time.
    pub(super) async fn in_time<T>(&self, request: impl Future<Output = T>) -> Result<T, String> {
        timeout(self.answer, request).await.map_err(|_| format!("no answer within {:?}", self.answer))
    }
}

/// A request that has failed, in words.
pub(super) fn told(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("{} {}", status.code, status.message),
        error => innermost(error),
    }
}

/// The cause that nothing stands behind, since those above it only say that there is one.
pub fn innermost(error: &dyn std::error::Error) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}
