//! Candidates that Kubernetes knows: the endpoints of one Service, from its EndpointSlices. kube's watcher lists them, watches from there on,
//! and takes a watch that was closed up where it ended; after a failure everything begins anew, with pauses.
//!
//! The member speaks as its pod's service account. Its Role needs `get`, `list` and `watch` of `endpointslices` in `discovery.k8s.io`, and
//! nothing else. Token and authority are files that Kubernetes replaces while the pod runs: they are read again within a minute, and at once
//! after a failure, since then the client is made anew.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::client::{Client, ClientBuilder};
use kube::runtime::watcher::{self, Event, watcher};
use tokio::sync::Mutex;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::util::MapFutureLayer;

use super::endpoint_slices::{EndpointSlices, PeerPort, SliceEvent};
use super::patience::{Pauses, chance};
use super::{Patience, Provider, Says, Source};
use crate::discovery::service_account::{ServiceAccount, innermost};

/// The label by which a slice names its Service.
const OF_SERVICE: &str = "kubernetes.io/service-name";
/// At most one request in this time: a server (or a proxy before it) that closes each watch at once is not asked in a loop.
const PACE: Duration = Duration::from_millis(200);
/// The server ends a watch after so many seconds; it is then taken up again.
const WATCH_SECONDS: u32 = 120;
/// What a server says of a resource version that it does not know any more: nothing is wrong, but the list has to be read again.
const GONE: u16 = 410;

/// Whom to ask, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KubernetesOptions {
    /// URL of the API server; `None`: it is not known.
    pub server: Option<String>,
    /// Where the files `token`, `ca.crt` and `namespace` are.
    pub account: PathBuf,
    /// Name of the Service.
    pub service: String,
    /// Its namespace; `None`: that of the account.
    pub namespace: Option<String>,
    /// Where its endpoints answer members.
    pub port: PeerPort,
    /// Waits and pauses.
    pub patience: Patience,
}

/// Follows the EndpointSlices of one Service.
#[derive(Debug)]
pub struct Kubernetes {
    options: KubernetesOptions,
}

/// Why everything begins anew.
#[derive(Debug)]
enum Anew {
    /// Nothing is wrong, but the list has to be read again.
    Expired,
    /// This is wrong.
    Failed(String),
}

impl Kubernetes {
    /// With these options.
    pub fn new(options: KubernetesOptions) -> Self {
        Self { options }
    }

    /// Lists and watches until it has to begin anew.
    async fn follow(&self, says: &Says, slices: &mut EndpointSlices, pauses: &mut Pauses) -> Anew {
        let api = match self.api() {
            Ok(api) => api,
            Err(why) => return Anew::Failed(why),
        };
        let config = watcher::Config::default().labels(&format!("{OF_SERVICE}={}", self.options.service)).timeout(WATCH_SECONDS);
        let mut events = pin!(watcher(api, config));
        let Patience { answer, silence, .. } = self.options.patience;
        let mut answered = false;
        loop {
            // A list is answered; a watch may have nothing to say. One that hangs looks the same, so the list is read again from time to time.
            let listing = !answered || slices.is_listing();
            let event = match timeout(if listing { answer } else { silence }, events.next()).await {
                Err(_) if listing => return Anew::Failed(format!("no answer within {answer:?}")),
                Err(_) | Ok(None) => return Anew::Expired,
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => return Anew::after(error),
            };
            // The watcher says that a list begins before it asks for one.
            if !matches!(event, Event::Init) {
                answered = true;
                pauses.reset();
            }
            if slices.take(SliceEvent::of(event)) {
                match slices.trouble() {
                    None => says.found(slices.addresses()),
                    Some(trouble) => says.found_some(slices.addresses(), trouble),
                }
            }
        }
    }

    /// A client that speaks as the account.
    fn api(&self) -> Result<Api<DynamicObject>, String> {
        let KubernetesOptions { server, account, namespace, patience, .. } = &self.options;
        let account =
            ServiceAccount { server: server.clone(), account: account.clone(), namespace: namespace.clone(), answer: patience.answer };
        let (config, namespace) = (account.config()?, account.namespace()?);
        let mut pace = interval(PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pace = Arc::new(Mutex::new(pace));
        let builder = ClientBuilder::try_from(config).map_err(|error| innermost(&error))?;
        let client: Client = builder.with_layer(&MapFutureLayer::new(move |answer| paced(pace.clone(), answer))).build();
        let slices = ApiResource {
            group: "discovery.k8s.io".to_owned(),
            version: "v1".to_owned(),
            api_version: "discovery.k8s.io/v1".to_owned(),
            kind: "EndpointSlice".to_owned(),
            plural: "endpointslices".to_owned(),
        };
        Ok(Api::namespaced_with(client, &namespace, &slices))
    }
}

/// Nothing is sent before the future is polled.
async fn paced<T>(pace: Arc<Mutex<Interval>>, answer: impl Future<Output = T>) -> T {
    pace.lock().await.tick().await;
    answer.await
}

impl Anew {
    fn after(error: watcher::Error) -> Self {
        use watcher::Error::{InitialListFailed, WatchError, WatchFailed, WatchStartFailed};
        let status = match &error {
            WatchError(status) => Some(status),
            InitialListFailed(kube::Error::Api(status))
            | WatchStartFailed(kube::Error::Api(status))
            | WatchFailed(kube::Error::Api(status)) => Some(status),
            _ => None,
        };
        match status {
            Some(status) if status.code == GONE => Self::Expired,
            Some(status) => Self::Failed(format!("{} {}", status.code, status.message)),
            None => Self::Failed(innermost(&error)),
        }
    }
}

impl SliceEvent {
    fn of(event: Event<DynamicObject>) -> Self {
        let name = |object: &DynamicObject| object.metadata.name.clone().unwrap_or_default();
        match event {
            Event::Init => Self::ListBegins,
            Event::InitApply(object) => Self::Listed(name(&object), object.data),
            Event::InitDone => Self::ListEnds,
            Event::Apply(object) => Self::Applied(name(&object), object.data),
            Event::Delete(object) => Self::Deleted(name(&object)),
        }
    }
}

impl Source for Kubernetes {
    fn provider(&self) -> Provider {
        Provider::Kubernetes
    }
    fn name(&self) -> String {
        format!("kubernetes service {}", self.options.service)
    }
    fn run(self: Box<Self>, says: Says, stop: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let mut slices = EndpointSlices::new(self.options.port.clone());
            let mut pauses = Pauses::new(self.options.patience);
            let forever = async {
                loop {
                    if let Anew::Failed(why) = self.follow(&says, &mut slices, &mut pauses).await {
                        says.failed(why);
                    }
                    sleep(pauses.next(chance())).await;
                }
            };
            let _: Option<()> = stop.run_until_cancelled(forever).await;
        }
        .boxed()
    }
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
