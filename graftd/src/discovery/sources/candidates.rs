//! What all sources come to: addresses, each once, with a connection to each.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use graft_proto::peer::v1::peer_service_client::PeerServiceClient;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;

use super::says::Report;
use super::{Says, Source};
use crate::discovery::rounds::{CONNECT_TIMEOUT, REQUEST_TIMEOUT};
use crate::observability::metrics::Metrics;
use crate::tls::members::{Dialed, LinkOptions, PeerSecurity};

/// Most candidates at a time. Clusters have at most nine members; the rest is room for what goes and comes.
pub const CANDIDATES_MAX: usize = 64;
/// The connection to an address that no source names any more is kept for so long: sources waver.
const KEPT_FOR: Duration = Duration::from_secs(30);

/// Where somebody may answer who could be a member.
#[derive(Clone, Debug)]
pub struct CandidateLink {
    /// `HOST:PORT`.
    pub address: String,
    /// Connects when it is first used, and again when it breaks.
    pub client: PeerServiceClient<Channel>,
    /// Who was there.
    pub dialed: Dialed,
}

/// What the sources say now. Addresses come and go; whoever wants to know the candidates asks each time.
#[derive(Debug)]
pub struct Candidates {
    /// In the order in which they are trusted.
    sources: Vec<(String, watch::Receiver<Report>)>,
    security: PeerSecurity,
    metrics: Arc<Metrics>,
    links: Mutex<Links>,
}

#[derive(Debug, Default)]
struct Links {
    /// By address; with when it was last named.
    kept: BTreeMap<String, (CandidateLink, Instant)>,
    /// Addresses that are no candidates, so that each is told and counted once for as long as it is named.
    refused: BTreeSet<String>,
}

/// Why an address is no candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refused {
    /// There are [`CANDIDATES_MAX`] others already.
    TooMany,
    /// It is beyond this machine, and members would speak in the clear.
    InTheClear,
    /// Nothing can be connected to it.
    NoAddress,
}

impl Refused {
    /// Label of metrics.
    fn label(self) -> &'static str {
        match self {
            Self::TooMany => "too_many",
            Self::InTheClear => "in_the_clear",
            Self::NoAddress => "no_address",
        }
    }

    fn told(self) -> &'static str {
        match self {
            Self::TooMany => "there are too many other candidates",
            Self::InTheClear => "without TLS members speak to addresses of this machine only",
            Self::NoAddress => "it is no address",
        }
    }
}

impl Candidates {
    /// Starts the sources. What is returned beside the candidates runs them, until the token is cancelled and each has said goodbye.
    pub fn start(
        mut sources: Vec<Box<dyn Source>>,
        security: PeerSecurity,
        metrics: Arc<Metrics>,
        stop: &CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send + use<>) {
        sources.sort_by_key(|source| source.provider());
        let (mut heard, mut running) = (Vec::new(), Vec::new());
        for source in sources {
            let (says, report) = Says::of(&*source, &metrics);
            heard.push((source.name(), report));
            running.push(source.run(says, stop.clone()));
        }
        let this = Self { sources: heard, security, metrics, links: Mutex::default() };
        (this, async move { drop(join_all(running).await) })
    }

    /// A connection to each candidate of this moment; this member itself may be among them.
    pub fn links(&self) -> Vec<CandidateLink> {
        self.links_at(Instant::now())
    }

    fn links_at(&self, now: Instant) -> Vec<CandidateLink> {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let named = self.sources.iter().flat_map(|(name, report)| {
            let addresses = report.borrow().addresses.clone();
            addresses.into_iter().map(move |address| (name, address))
        });
        let (mut current, mut refused): (Vec<CandidateLink>, BTreeSet<String>) = Default::default();
        for (source, address) in named {
            if current.iter().any(|link| link.address == address) {
                continue;
            }
            let link = match current.len() {
                CANDIDATES_MAX.. => Err(Refused::TooMany),
                _ => self.link(&links, &address),
            };
            match link {
                Ok(link) => {
                    links.kept.insert(address, (link.clone(), now));
                    current.push(link);
                }
                Err(why) => {
                    if !links.refused.contains(&address) && !refused.contains(&address) {
                        self.metrics.cluster.rejected_peers.with_label_values(&[why.label()]).inc();
                        tracing::warn!("{source}: {address} is no candidate: {}", why.told());
                    }
                    refused.insert(address);
                }
            }
        }
        links.refused = refused;
        links.kept.retain(|_, (_, named)| now.duration_since(*named) < KEPT_FOR);
        current
    }

    fn link(&self, links: &Links, address: &str) -> Result<CandidateLink, Refused> {
        if let Some((link, _)) = links.kept.get(address) {
            return Ok(link.clone());
        }
        if matches!(self.security, PeerSecurity::Plain) && !is_of_this_machine(address) {
            return Err(Refused::InTheClear);
        }
        let options = LinkOptions { connect: CONNECT_TIMEOUT, request: Some(REQUEST_TIMEOUT), keepalive: None, windows: None };
        let dialed = self.security.dial(address, None, options).map_err(|_| Refused::NoAddress)?;
        Ok(CandidateLink { address: address.to_owned(), client: PeerServiceClient::new(dialed.channel.clone()), dialed })
    }

    /// Which sources fail at the moment, and why: `dns graft-headless:7421: no such name`.
    pub fn failures(&self) -> Vec<String> {
        let failure = |(name, report): &(String, watch::Receiver<Report>)| {
            report.borrow().failure.as_ref().map(|failure| format!("{name}: {failure}"))
        };
        self.sources.iter().filter_map(failure).collect()
    }
}

/// Whether what is said to this address stays on this machine.
fn is_of_this_machine(address: &str) -> bool {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    host == "localhost" || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::super::{Provider, StaticList};
    use super::*;

    fn of(lists: Vec<StaticList>) -> (Candidates, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let lists = lists.into_iter().map(|list| Box::new(list) as Box<dyn Source>).collect();
        // What a list says it has said when this returns.
        let (candidates, _) = Candidates::start(lists, PeerSecurity::Plain, metrics.clone(), &CancellationToken::new());
        (candidates, metrics)
    }

    fn addresses(candidates: &Candidates, now: Instant) -> Vec<String> {
        candidates.links_at(now).into_iter().map(|link| link.address).collect()
    }

    fn list(addresses: impl IntoIterator<Item = impl Into<String>>) -> StaticList {
        StaticList::new(addresses.into_iter().map(Into::into))
    }

    /// Says what a test tells it to.
    struct Told(watch::Receiver<Vec<String>>);

    impl Source for Told {
        fn provider(&self) -> Provider {
            Provider::Dns
        }
        fn name(&self) -> String {
            "a test".to_owned()
        }
        fn run(self: Box<Self>, says: Says, _: CancellationToken) -> futures::future::BoxFuture<'static, ()> {
            let mut told = self.0;
            says.found(told.borrow_and_update().clone());
            Box::pin(async move {
                while told.changed().await.is_ok() {
                    says.found(told.borrow_and_update().clone());
                }
            })
        }
    }

    #[tokio::test]
    async fn several_sources_come_to_one_list_in_which_each_address_stands_once() {
        let (candidates, metrics) = of(vec![list(["127.0.0.1:2", "127.0.0.1:1", "127.0.0.1:2"]), list(["127.0.0.1:1", "[::1]:3"])]);
        assert_eq!(addresses(&candidates, Instant::now()), ["127.0.0.1:1", "127.0.0.1:2", "[::1]:3"]);
        assert_eq!(metrics.cluster.discovery_candidates.with_label_values(&["static"]).get(), 4);
        assert!(candidates.failures().is_empty());
    }

    #[tokio::test]
    async fn no_more_than_the_bound_are_candidates_and_each_that_is_too_many_is_counted_once() {
        let many = |from: usize| (0..CANDIDATES_MAX).map(move |i| format!("127.0.0.1:{}", from + i));
        let (candidates, metrics) = of(vec![list(many(1_000)), list(many(1_003))]);
        for _ in 0..2 {
            assert_eq!(addresses(&candidates, Instant::now()).len(), CANDIDATES_MAX);
        }
        assert_eq!(metrics.cluster.rejected_peers.with_label_values(&["too_many"]).get(), 3);
        assert!(candidates.failures().is_empty());
        // One source alone says no more than that, and that it does not.
        let (candidates, _) = of(vec![list((0..CANDIDATES_MAX + 3).map(|i| format!("127.0.0.1:{}", 1_000 + i)))]);
        assert_eq!(addresses(&candidates, Instant::now()).len(), CANDIDATES_MAX);
        assert_eq!(candidates.failures(), ["cluster.peers: 67 addresses are too many for candidates"]);
    }

    #[tokio::test]
    async fn in_the_clear_only_addresses_of_this_machine_are_candidates() {
        let (candidates, metrics) = of(vec![list(["10.0.0.1:1", "127.0.0.1:1", "graft-0.example:1", "localhost:1", "no address:1"])]);
        assert_eq!(addresses(&candidates, Instant::now()), ["127.0.0.1:1", "localhost:1"]);
        assert_eq!(metrics.cluster.rejected_peers.with_label_values(&["in_the_clear"]).get(), 3);
    }

    #[tokio::test]
    async fn an_address_that_goes_is_no_candidate_any_more_and_its_connection_is_kept_for_a_while() {
        let (tell, told) = watch::channel(vec!["127.0.0.1:1".to_owned(), "127.0.0.1:2".to_owned()]);
        let stop = CancellationToken::new();
        let (candidates, running) = Candidates::start(vec![Box::new(Told(told))], PeerSecurity::Plain, Arc::new(Metrics::new()), &stop);
        let start = Instant::now();
        let kept = |candidates: &Candidates| candidates.links.lock().unwrap().kept.keys().cloned().collect::<Vec<_>>();
        assert_eq!(addresses(&candidates, start), ["127.0.0.1:1", "127.0.0.1:2"]);
        tell.send(vec!["127.0.0.1:2".to_owned()]).unwrap();
        drop(tell);
        running.await;
        assert_eq!(addresses(&candidates, start + KEPT_FOR / 2), ["127.0.0.1:2"]);
        assert_eq!(kept(&candidates), ["127.0.0.1:1", "127.0.0.1:2"]);
        assert_eq!(addresses(&candidates, start + KEPT_FOR), ["127.0.0.1:2"]);
        assert_eq!(kept(&candidates), ["127.0.0.1:2"]);
    }
}
