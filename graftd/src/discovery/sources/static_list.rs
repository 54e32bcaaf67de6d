//! Candidates from the list in the configuration.

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::{Provider, Says, Source};

/// Says the list, and nothing more.
#[derive(Clone, Debug)]
pub struct StaticList {
    addresses: Vec<String>,
}

impl StaticList {
    /// Of these addresses.
    pub fn new(addresses: impl IntoIterator<Item = String>) -> Self {
        Self { addresses: addresses.into_iter().collect() }
    }
}

impl Source for StaticList {
    fn provider(&self) -> Provider {
        Provider::Static
    }
    fn name(&self) -> String {
        "cluster.peers".to_owned()
    }
    fn run(self: Box<Self>, says: Says, stop: CancellationToken) -> BoxFuture<'static, ()> {
        says.found(self.addresses);
        async move { stop.cancelled().await }.boxed()
    }
}
