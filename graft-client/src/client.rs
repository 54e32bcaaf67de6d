//! The client: starts, finds and steers workflows.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::dead_letter_service_client::DeadLetterServiceClient;
use graft_proto::v1::event_service_client::EventServiceClient;
use graft_proto::v1::limit_service_client::LimitServiceClient;
use graft_proto::v1::task_service_client::TaskServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graft_proto::v1::{
    ClusterStatusRequest, ClusterStatusResponse, Consistency, DiagnoseRequest, DiagnoseResponse, ListWorkersRequest, LogLevelRequest,
    LogLevelResponse, ProfileRequest, ProfileResponse, RequestMeta, StatsRequest, StatsResponse, Worker,
};
use graft_proto::{ANSWER_BYTES_MAX, MESSAGE_BYTES_MAX};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

use crate::channel::{Connections, Kind, Place, deadline};
use crate::codec::{Codec, PayloadCodec, Payloads};
use crate::credentials::{Credentials, Source};
use crate::endpoints::{Endpoints, is_secure};
use graft_proto::errors::ErrorCode;

use crate::error::ClientError;
use crate::handle::WorkflowHandle;
use crate::limits;
use crate::next::millis;
use crate::start::{StartWorkflow, Started, named};
use crate::tls::Tls;

/// The namespace of whoever names none.
pub const NAMESPACE_DEFAULT: &str = "default";
/// How long a call may take, repeats included, unless the builder says otherwise.
const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// Longest name of who asks, in bytes.
const IDENTITY_BYTES_MAX: usize = 128;
/// Metadata entry that carries the token.
const TOKEN_METADATA: &str = "authorization";
/// Metadata entry that carries who asks.
const PRINCIPAL_METADATA: &str = "graft-client";

/// A connection to a cluster, in one namespace. Cheap to clone; clones share their connections.
///
/// Nothing is sent before the first call; each call finds a member that answers by itself and repeats what is safe to repeat.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
    namespace: Arc<str>,
    stale: bool,
}

#[derive(Debug)]
struct Shared {
    connections: Connections,
    principal: Option<MetadataValue<Ascii>>,
    request_timeout: Duration,
    codec: Option<Codec>,
}

/// How a [`Client`] is made. See [`Client::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ClientBuilder {
    endpoints: Endpoints,
    namespace: String,
    identity: Option<String>,
    request_timeout: Duration,
    tls: Tls,
    token: Option<Source>,
    codec: Option<Codec>,
}

impl ClientBuilder {
    /// The namespace it works in; otherwise `default`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Who asks, as the history of workflows will name it: letters, digits and `- _ . : /`, at most 128. A token or a certificate counts for more.
    pub fn identity(mut self, identity: impl Into<String>) -> Self {
        self.identity = Some(identity.into());
        self
    }

    /// How TLS is spoken with addresses that begin with `https://`; otherwise with the authorities that this machine believes.
    ///
    /// A client that was given such addresses alone never speaks in the clear, whatever addresses it is told later.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = tls;
        self
    }

    /// Shows the token in this file with each call, and with a worker's stream: an API token (`graft token create`), or one of the identity
    /// provider that members trust. White space around it is ignored.
    ///
    /// The file is read again every two seconds while it is used, when a token was refused, and before a worker connects: a token that is put in
    /// the place of another is in use without a restart. A token goes to other machines over TLS only.
    pub fn token_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.token = Some(Source::File(file.into()));
        self
    }

    /// As [`token_file`](Self::token_file), with this token for the client's whole life. The one that is said last counts.
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Source::Text(token.into()));
        self
    }

    /// Takes from the environment what `graft` takes from it, and what is there counts: `GRAFT_TLS_CA`, `GRAFT_TLS_CERT` with `GRAFT_TLS_KEY`, and
    /// `GRAFT_TLS_HOST` for [`tls`](Self::tls); `GRAFT_TOKEN_FILE` for [`token_file`](Self::token_file). What is empty is not there.
    ///
    /// # Errors
    /// If there is a certificate without its key, or the other way round.
    pub fn from_env(self) -> Result<Self, ClientError> {
        self.with_variables(|name| std::env::var_os(name))
    }

    fn with_variables(mut self, read: impl Fn(&str) -> Option<OsString>) -> Result<Self, ClientError> {
        let said = |name: &str| read(name).filter(|value| !value.is_empty());
        if let Some(ca) = said("GRAFT_TLS_CA") {
            self.tls = self.tls.ca(ca);
        }
        match (said("GRAFT_TLS_CERT"), said("GRAFT_TLS_KEY")) {
            (Some(cert), Some(key)) => self.tls = self.tls.identity(cert, key),
            (None, None) => {}
            _ => {
                let why = "one is there without the other: a certificate is shown with its key";
                return Err(ClientError::new(
                    ErrorCode::Tls,
                    "make a client",
                    "GRAFT_TLS_CERT and GRAFT_TLS_KEY".to_owned(),
                    why.to_owned(),
                ));
            }
        }
        if let Some(host) = said("GRAFT_TLS_HOST") {
            self.tls = self.tls.host(host.to_string_lossy());
        }
        match said("GRAFT_TOKEN_FILE") {
            Some(file) => Ok(self.token_file(file)),
            None => Ok(self),
        }
    }

    /// Encodes payload before it is sent and decodes what comes, here and in workers that are built of this client: members see neither configs nor the
    /// values of states. See [`PayloadCodec`] for what then is not possible.
    pub fn payload_codec(mut self, codec: impl PayloadCodec) -> Self {
        self.codec = Some(Codec(Arc::new(codec)));
        self
    }

    /// How long a call may take, repeats included; otherwise 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// Makes the client; nothing is sent yet.
    ///
    /// # Errors
    /// If an address is no URL, the identity is none, or a file for TLS does not fit; if there is no token where one was to be, or an address
    /// would get it in the clear.
    pub fn build(self) -> Result<Client, ClientError> {
        let urls = self.endpoints.into_urls()?;
        if urls.iter().any(|url| is_secure(url)) {
            self.tls.check()?;
        }
        let credentials = Credentials::new(self.token)?;
        urls.iter().try_for_each(|url| credentials.check(url))?;
        let connections = Connections::new(urls, self.tls, credentials);
        let principal = match self.identity {
            None => None,
            Some(identity) => Some(principal(&identity)?),
        };
        let namespace = if self.namespace.is_empty() { NAMESPACE_DEFAULT.into() } else { self.namespace.into() };
        let shared = Shared { connections, principal, request_timeout: self.request_timeout, codec: self.codec };
        Ok(Client { shared: Arc::new(shared), namespace, stale: false })
    }
}

/// A server takes a name that it does not allow for none, and writes "anonymous" into the history: it is refused here.
fn principal(identity: &str) -> Result<MetadataValue<Ascii>, ClientError> {
    let refused = |why: String| {
        ClientError::new(ErrorCode::BadIdentity, "make a client", format!("identity {identity:?}"), why)
            .remedied(format!("Allowed are letters, digits and - _ . : /, at least one and at most {IDENTITY_BYTES_MAX}."))
    };
    if identity.is_empty() {
        return Err(refused("is empty".to_owned()));
    }
    if identity.len() > IDENTITY_BYTES_MAX {
        return Err(refused(format!("has {} bytes", identity.len())));
    }
    if let Some((at, found)) = identity.char_indices().find(|(_, c)| !(c.is_ascii_alphanumeric() || "-_.:/".contains(*c))) {
        return Err(refused(format!("holds {found:?} at byte {at}")));
    }
    MetadataValue::try_from(identity).map_err(|error| refused(error.to_string()))
}

/// Worker sessions.
#[derive(Clone, Debug, PartialEq)]
pub struct Workers {
    /// The workers, by name.
    pub workers: Vec<Worker>,
    /// Whether the live figures (`connected`, `held`) are there.
    pub live: bool,
}

/// Adds to a request who asks, what shows it, and how long the answer is waited for.
#[derive(Clone, Debug)]
pub(crate) struct Identified {
    principal: Option<MetadataValue<Ascii>>,
    credentials: Credentials,
}

impl Identified {
    pub(crate) fn new(principal: Option<MetadataValue<Ascii>>, credentials: Credentials) -> Self {
        Self { principal, credentials }
    }
}

impl tonic::service::Interceptor for Identified {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        if let Some(principal) = &self.principal {
            request.metadata_mut().insert(PRINCIPAL_METADATA, principal.clone());
        }
        if let Some(token) = self.credentials.shown() {
            request.metadata_mut().insert(TOKEN_METADATA, token);
        }
        if let Some(left) = deadline::left() {
            request.set_timeout(left);
        }
        Ok(request)
    }
}

/// A channel that says who asks.
pub(crate) type Identity = InterceptedService<Channel, Identified>;

impl Client {
    /// A client for these addresses: a URL, several separated by commas, or a list. Nothing is sent yet.
    ///
    /// # Errors
    /// If an address is no URL.
    pub fn connect(endpoints: impl Into<Endpoints>) -> Result<Self, ClientError> {
        Self::builder(endpoints).build()
    }

    /// A client with more to say: namespace, TLS, token, timeout.
    pub fn builder(endpoints: impl Into<Endpoints>) -> ClientBuilder {
        let namespace = NAMESPACE_DEFAULT.to_owned();
        let (endpoints, request_timeout) = (endpoints.into(), REQUEST_TIMEOUT_DEFAULT);
        ClientBuilder { endpoints, namespace, identity: None, request_timeout, tls: Tls::new(), token: None, codec: None }
    }

    /// A client of no server: every call fails at once, and says so.
    #[cfg(feature = "testing")]
    pub(crate) fn without_server(codec: Option<Codec>) -> Self {
        let connections = Connections::new(Vec::new(), Tls::new(), Credentials::default());
        let shared = Shared { connections, principal: None, request_timeout: REQUEST_TIMEOUT_DEFAULT, codec };
        Self { shared: Arc::new(shared), namespace: NAMESPACE_DEFAULT.into(), stale: false }
    }

    /// The same client at other addresses, whose answers are for it alone: with the same TLS, token, identity, codec and patience. An address without a scheme
    /// is spoken with as the present ones are.
    ///
    /// # Errors
    /// If an address is no URL, or would get the token in the clear.
    pub fn at(&self, endpoints: impl Into<Endpoints>) -> Result<Self, ClientError> {
        let connections = self.shared.connections.at(endpoints.into())?;
        let Shared { principal, request_timeout, codec, .. } = &*self.shared;
        let shared = Shared { connections, principal: principal.clone(), request_timeout: *request_timeout, codec: codec.clone() };
        Ok(Self { shared: Arc::new(shared), ..self.clone() })
    }

    /// The same client in another namespace.
    pub fn in_namespace(&self, namespace: impl Into<String>) -> Self {
        Self { namespace: namespace.into().into(), ..self.clone() }
    }

    /// The same client, whose reads take what the member that answers knows: possibly old, but answered even without a leader.
    pub fn stale(&self) -> Self {
        Self { stale: true, ..self.clone() }
    }

    /// The namespace it works in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// A workflow to be started: add state and nodes, then await it. Takes an id, or a [`StartWorkflow`] made before.
    pub fn start(&self, start: impl Into<StartWorkflow>) -> StartWorkflow<Self> {
        start.into().on(self.clone())
    }

    pub(crate) async fn send_start(&self, start: StartWorkflow<Self>) -> Result<Started, ClientError> {
        let request = start.into_request(self)?;
        let operation = format!("start {} in namespace \"{}\"", named(&request.workflow_id), request.namespace);
        let answer = self
            .workflows_call(&operation, Kind::Change, request, |mut service, request| async move { service.start(request).await })
            .await?;
        Ok(answer.into())
    }

    /// A handle on the current run of a workflow; nothing is sent yet.
    pub fn workflow(&self, workflow_id: impl Into<String>) -> WorkflowHandle {
        WorkflowHandle::new(self.clone(), workflow_id.into())
    }

    /// Members, leader and log positions, as the member that answers sees them.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn cluster_status(&self) -> Result<ClusterStatusResponse, ClientError> {
        let call = |channel| {
            let mut service = self.cluster_service(channel);
            async move { service.status(ClusterStatusRequest {}).await }
        };
        self.shared.connections.call("ask for the cluster's status", Kind::Read, self.shared.request_timeout, call).await
    }

    /// How much the member that answers logs, and changes it if a level is given (an empty one is that of its configuration again): at once, until its
    /// configuration is read again or it starts again. Which member answers, [`Client::at`] decides.
    ///
    /// # Errors
    /// If this is no level, if the log is not the member's own, or if no member answers.
    pub async fn log_level(&self, level: Option<&str>) -> Result<LogLevelResponse, ClientError> {
        let kind = if level.is_some() { Kind::Once } else { Kind::Read };
        let request = LogLevelRequest { level: level.map(str::to_owned) };
        let call = |channel| {
            let (mut service, request) = (self.cluster_service(channel), request.clone());
            async move { service.log_level(request).await }
        };
        self.shared.connections.call("ask for the level of the log", kind, self.shared.request_timeout, call).await
    }

    /// What the member that answers says of itself: settings, readiness, metrics, the newest lines of its log. No secrets. Which member answers,
    /// [`Client::at`] decides.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn diagnose(&self) -> Result<DiagnoseResponse, ClientError> {
        let call = |channel| {
            let mut service = self.cluster_service(channel);
            async move { service.diagnose(DiagnoseRequest {}).await }
        };
        self.shared.connections.call("ask a member how it is", Kind::Read, self.shared.request_timeout, call).await
    }

    /// Where the member that answers spends its processor time over so long (at most 60 s): samples of all its threads, as a profile for pprof. One at a
    /// time is made. Which member answers, [`Client::at`] decides.
    ///
    /// # Errors
    /// If it takes too long, if another one is being made, or if no member answers.
    pub async fn profile(&self, duration: Duration) -> Result<ProfileResponse, ClientError> {
        let request = ProfileRequest { duration_ms: millis(duration) };
        let call = |channel| {
            let mut service = self.cluster_service(channel);
            async move { service.profile(request).await }
        };
        let timeout = self.shared.request_timeout.saturating_add(duration);
        self.shared.connections.call("ask a member for a profile", Kind::Once, timeout, call).await
    }

    /// Worker sessions of this namespace.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn workers(&self) -> Result<Workers, ClientError> {
        self.list_workers(self.namespace.to_string()).await
    }

    /// Worker sessions of all namespaces.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn all_workers(&self) -> Result<Workers, ClientError> {
        self.list_workers(String::new()).await
    }

    async fn list_workers(&self, namespace: String) -> Result<Workers, ClientError> {
        let call = |channel| {
            let mut service = self.cluster_service(channel);
            let request = ListWorkersRequest { namespace: namespace.clone() };
            async move { service.list_workers(request).await }
        };
        let answer = self.shared.connections.call("list workers", Kind::Read, self.shared.request_timeout, call).await?;
        Ok(Workers { workers: answer.workers, live: answer.live })
    }

    /// Counters of the member that answers since its start, for benchmarks.
    ///
    /// # Errors
    /// If no member answers.
    pub async fn stats(&self) -> Result<StatsResponse, ClientError> {
        let call = |channel| {
            let mut service = self.cluster_service(channel);
            async move { service.stats(StatsRequest {}).await }
        };
        self.shared.connections.call("ask for counters", Kind::Read, self.shared.request_timeout, call).await
    }

    /// How fresh this client's reads are, on the wire.
    pub(crate) fn consistency(&self) -> i32 {
        if self.stale { Consistency::Stale.into() } else { Consistency::Linearizable.into() }
    }

    pub(crate) fn has_codec(&self) -> bool {
        self.shared.codec.is_some()
    }

    /// The payload of a workflow in this client's namespace.
    pub(crate) fn payloads<'a>(&'a self, workflow_id: &'a str) -> Payloads<'a> {
        self.payloads_in(&self.namespace, workflow_id)
    }

    pub(crate) fn payloads_in<'a>(&'a self, namespace: &'a str, workflow_id: &'a str) -> Payloads<'a> {
        Payloads::new(self.shared.codec.as_ref().map(|codec| &*codec.0), namespace, workflow_id)
    }

    pub(crate) fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        self.shared.request_timeout
    }

    pub(crate) fn identified(&self) -> Identified {
        Identified::new(self.shared.principal.clone(), self.shared.connections.credentials().clone())
    }

    /// The workflow service behind a connection.
    pub(crate) fn workflow_service(&self, channel: Channel) -> WorkflowServiceClient<Identity> {
        WorkflowServiceClient::with_interceptor(channel, self.identified())
            .max_decoding_message_size(ANSWER_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn task_service(&self, channel: Channel) -> TaskServiceClient<Identity> {
        TaskServiceClient::with_interceptor(channel, self.identified()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) fn dead_letter_service(&self, channel: Channel) -> DeadLetterServiceClient<Identity> {
        DeadLetterServiceClient::with_interceptor(channel, self.identified()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) fn limit_service(&self, channel: Channel) -> LimitServiceClient<Identity> {
        LimitServiceClient::with_interceptor(channel, self.identified()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) fn event_service(&self, channel: Channel) -> EventServiceClient<Identity> {
        EventServiceClient::with_interceptor(channel, self.identified()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    pub(crate) fn cluster_service(&self, channel: Channel) -> ClusterServiceClient<Identity> {
        ClusterServiceClient::with_interceptor(channel, self.identified()).max_decoding_message_size(ANSWER_BYTES_MAX)
    }

    /// One call of the workflow service.
    pub(crate) async fn workflows_call<Q, T, F, Fut>(&self, operation: &str, kind: Kind, request: Q, call: F) -> Result<T, ClientError>
    where
        Q: Clone + prost::Message,
        F: Fn(WorkflowServiceClient<Identity>, Q) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        self.workflows_call_in_place(operation, kind, request, call).await.map(|(answer, _place)| answer)
    }

    /// One call of the workflow service whose answer is a stream, which needs the place until it ends.
    pub(crate) async fn workflows_call_in_place<Q, T, F, Fut>(
        &self,
        operation: &str,
        kind: Kind,
        request: Q,
        call: F,
    ) -> Result<(T, Option<Place>), ClientError>
    where
        Q: Clone + prost::Message,
        F: Fn(WorkflowServiceClient<Identity>, Q) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        self.call_in_place(operation, kind, request, |channel, request| call(self.workflow_service(channel), request)).await
    }

    /// One call of any service; `call` makes a try on a connection.
    pub(crate) async fn call<Q, T, F, Fut>(&self, operation: &str, kind: Kind, request: Q, call: F) -> Result<T, ClientError>
    where
        Q: Clone + prost::Message,
        F: Fn(Channel, Q) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        self.call_in_place(operation, kind, request, call).await.map(|(answer, _place)| answer)
    }

    /// One call of any service whose answer is a stream, which needs the place until it ends.
    pub(crate) async fn call_in_place<Q, T, F, Fut>(
        &self,
        operation: &str,
        kind: Kind,
        request: Q,
        call: F,
    ) -> Result<(T, Option<Place>), ClientError>
    where
        Q: Clone + prost::Message,
        F: Fn(Channel, Q) -> Fut,
        Fut: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        limits::check_request(operation, &request)?;
        let attempt = |channel| call(channel, request.clone());
        self.shared.connections.call_in_place(operation, kind, self.shared.request_timeout, attempt).await
    }
}

/// What identifies a request that nobody but this call can repeat.
pub(crate) fn fresh_meta() -> Option<RequestMeta> {
    Some(RequestMeta { request_id: uuid::Uuid::new_v4().to_string(), not_after_ms: 0 })
}

/// Where the next page begins, if there is one.
pub(crate) fn cursor(next: String) -> Option<String> {
    Some(next).filter(|cursor| !cursor.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_says_what_it_says_to_the_command_line_as_well() {
        let of = |variables: &'static [(&str, &str)]| {
            let read = move |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
            Client::builder("https://127.0.0.1:1").with_variables(read)
        };
        let all = of(&[
            ("GRAFT_TLS_CA", "ca.pem"),
            ("GRAFT_TLS_CERT", "a.pem"),
            ("GRAFT_TLS_KEY", "a.key"),
            ("GRAFT_TLS_HOST", "graft.example"),
            ("GRAFT_TOKEN_FILE", "a.token"),
        ])
        .unwrap();
        assert_eq!(all.tls, Tls::new().ca("ca.pem").identity("a.pem", "a.key").host("graft.example"));
        assert!(matches!(&all.token, Some(Source::File(file)) if file.as_os_str() == "a.token"), "{:?}", all.token);
        let nothing = of(&[("GRAFT_TLS_CA", ""), ("GRAFT_TOKEN_FILE", "")]).unwrap();
        assert!(nothing.tls == Tls::new() && nothing.token.is_none());
        let half = of(&[("GRAFT_TLS_CERT", "a.pem")]).unwrap_err().to_string();
        assert!(half.contains("GRAFT_TLS_KEY") && half.contains("GR9013"), "{half}");
    }

    #[test]
    fn an_identity_that_would_be_taken_for_none_is_refused() {
        let build = |identity: &str| Client::builder("http://127.0.0.1:1").identity(identity).build();
        build("team:billing/till-3_b.x").unwrap();
        for (identity, why) in [
            ("", "is empty"),
            ("Jürgen", "holds 'ü' at byte 1"),
            ("a b", "holds ' ' at byte 1"),
            ("a\n", "byte 1"),
            (&"x".repeat(129), "129"),
        ] {
            let error = build(identity).unwrap_err();
            assert_eq!(error.code(), ErrorCode::BadIdentity.name());
            assert!(error.to_string().contains(why) && error.remedy().contains("letters, digits"), "{error}");
        }
    }
}
