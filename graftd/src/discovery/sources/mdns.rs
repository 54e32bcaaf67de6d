//! Candidates in the same network: members announce themselves by multicast DNS, and look for each other.
//!
//! What is announced is one service instance of [`SERVICE`], called by the raft id (names of members are unique in their cluster only, and
//! several clusters may share a network), with three things to say: the cluster's name, the member's, and the address at which it answers
//! members. Instances of other clusters are counted and left alone. Anybody in the network can announce anything: that makes candidates.
//!
//! An address that is a number of this machine is announced in the network that it belongs to and nowhere else; a name, or a number that
//! something in between has given it, is announced everywhere. When the member drains, it says that it goes; when it is killed, the others
//! forget it when its records have run out, two minutes later.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, UdpSocket};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use mdns_sd::{DaemonEvent, IfKind, Receiver, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use prometheus::IntCounter;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::patience::{Pauses, chance};
use super::{CANDIDATES_MAX, Patience, Provider, Says, Source};
use crate::observability::metrics::Metrics;

/// What members announce.
pub const SERVICE: &str = "_graft-peer._tcp.local.";
/// The port of multicast DNS.
pub const PORT: u16 = 5353;
/// Keys of what an instance says.
const CLUSTER: &str = "cluster";
const MEMBER: &str = "member";
const ADDRESS: &str = "address";
/// Longest address that is looked at.
const ADDRESS_BYTES_MAX: usize = 200;
/// Longest wait for the goodbye to be sent.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);

/// What is announced, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MdnsOptions {
    /// Name of the cluster; only members of the same are candidates.
    pub cluster_name: String,
    /// Name of this member.
    pub member_name: String,
    /// Its raft id.
    pub raft_id: u64,
    /// Where it answers members, `HOST:PORT`.
    pub peer_address: String,
    /// The UDP port; anything but [`PORT`] is a network of its own.
    pub port: u16,
    /// Pauses after a failure.
    pub patience: Patience,
}

/// Announces this member and looks for others.
#[derive(Debug)]
pub struct Mdns {
    options: MdnsOptions,
    others: IntCounter,
}

/// What an instance is to this member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Instance {
    /// A member of the same cluster, perhaps, that answers members at this address.
    Candidate(String),
    /// It is of that cluster.
    OtherCluster(String),
    /// Why nothing can be made of it.
    Senseless(&'static str),
}

/// What is known of the network. Bounded: whoever fills it with nonsense finds it full.
#[derive(Debug, Default)]
struct Seen {
    candidates: BTreeMap<String, String>,
    /// Told and counted once.
    ignored: BTreeSet<String>,
}

impl Mdns {
    /// With these options.
    pub fn new(options: MdnsOptions, metrics: &Metrics) -> Self {
        Self { options, others: metrics.cluster.rejected_peers.with_label_values(&["cluster_name"]) }
    }

    /// Announces and looks until that fails.
    async fn look(&self, says: &Says, seen: &mut Seen, goodbye: &mut Option<Goodbye>) -> Result<(), mdns_sd::Error> {
        let MdnsOptions { cluster_name, member_name, raft_id, peer_address, port, .. } = &self.options;
        let (host, peer_port) = peer_address.rsplit_once(':').unwrap_or((peer_address, ""));
        let instance = format!("{raft_id:016x}");
        let properties = [(CLUSTER, cluster_name.as_str()), (MEMBER, member_name), (ADDRESS, peer_address)];
        let info = |ip: &str| {
            let port = peer_port.parse().unwrap_or_default();
            ServiceInfo::new(SERVICE, &instance, &format!("graft-{instance}.local."), ip, port, &properties[..])
        };
        let daemon = ServiceDaemon::new_with_port(*port)?;
        let errors = daemon.monitor()?;
        let ip: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok().filter(|ip| is_here(*ip));
        let service = match ip {
            Some(ip) => {
                daemon.disable_interface(IfKind::All)?;
                daemon.enable_interface(IfKind::Addr(ip))?;
                info(&ip.to_string())?
            }
            None => info("")?.enable_addr_auto(),
        };
        let full_name = service.get_fullname().to_owned();
        let events = daemon.browse(SERVICE)?;
        daemon.register(service)?;
        *goodbye = Some(Goodbye { daemon, full_name });
        // What is still there answers again at once.
        *seen = Seen::default();
        says.found(seen.addresses());
        self.listen(events, errors, says, seen).await
    }

    async fn listen(
        &self,
        events: Receiver<ServiceEvent>,
        errors: Receiver<DaemonEvent>,
        says: &Says,
        seen: &mut Seen,
    ) -> Result<(), mdns_sd::Error> {
        let ended = || mdns_sd::Error::Msg("the thread that listens to the network has ended".to_owned());
        loop {
            tokio::select! {
                event = events.recv_async() => {
                    if self.is_news(event.map_err(|_| ended())?, seen) {
                        says.found(seen.addresses());
                    }
                }
                event = errors.recv_async() => match event.map_err(|_| ended())? {
                    DaemonEvent::Error(error) => return Err(error),
                    DaemonEvent::NameChange(change) => {
                        tracing::warn!(theirs = %change.original, ours = %change.new_name, "mdns: another member announces the raft id of this one");
                    }
                    _ => {}
                },
            }
        }
    }

    /// Takes an event in; whether the candidates have changed by it.
    fn is_news(&self, event: ServiceEvent, seen: &mut Seen) -> bool {
        match event {
            ServiceEvent::ServiceResolved(service) => seen.take(&service.fullname, self.judge(&service), &self.others),
            ServiceEvent::ServiceRemoved(_, name) => {
                seen.ignored.remove(&name);
                seen.candidates.remove(&name).is_some()
            }
            _ => false,
        }
    }

    fn judge(&self, service: &ResolvedService) -> Instance {
        let said = |key| service.get_property_val_str(key).unwrap_or_default();
        judge(&self.options.cluster_name, said(CLUSTER), said(ADDRESS))
    }
}

/// Whether an interface of this machine has this address: only then can something be bound to it.
fn is_here(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

/// What an instance is to a member of the cluster `ours`, that says it is of this cluster and answers at this address.
pub fn judge(ours: &str, cluster: &str, address: &str) -> Instance {
    if cluster.is_empty() {
        Instance::Senseless("it does not say of which cluster it is")
    } else if cluster != ours {
        Instance::OtherCluster(cluster.to_owned())
    } else if address.len() > ADDRESS_BYTES_MAX || address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
        Instance::Senseless("it does not say at which HOST:PORT it answers members")
    } else {
        Instance::Candidate(address.to_owned())
    }
}

impl Seen {
    /// Whether the candidates have changed by it.
    fn take(&mut self, name: &str, instance: Instance, others: &IntCounter) -> bool {
        let why = match instance {
            Instance::Candidate(address) if self.candidates.len() < CANDIDATES_MAX || self.candidates.contains_key(name) => {
                self.ignored.remove(name);
                return self.candidates.insert(name.to_owned(), address.clone()) != Some(address);
            }
            Instance::Candidate(_) => "there are too many others".to_owned(),
            Instance::OtherCluster(cluster) => {
                if !self.ignored.contains(name) {
                    others.inc();
                }
                format!("it is of cluster {cluster}")
            }
            Instance::Senseless(why) => why.to_owned(),
        };
        if self.ignored.len() < CANDIDATES_MAX && self.ignored.insert(name.to_owned()) {
            tracing::info!("mdns: {name} is no candidate: {why}");
        }
        self.candidates.remove(name).is_some()
    }

    fn addresses(&self) -> Vec<String> {
        self.candidates.values().cloned().collect()
    }
}

/// An announcement, to be taken back. Dropped without that it goes all the same, only later.
struct Goodbye {
    daemon: ServiceDaemon,
    full_name: String,
}

impl Goodbye {
    async fn say(&self) {
        if let Ok(said) = self.daemon.unregister(&self.full_name) {
            let _ = timeout(GOODBYE_WITHIN, said.recv_async()).await;
        }
    }
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        let _ = self.daemon.shutdown();
    }
}

impl Source for Mdns {
    fn provider(&self) -> Provider {
        Provider::Mdns
    }
    fn name(&self) -> String {
        "mdns".to_owned()
    }
    fn run(self: Box<Self>, says: Says, stop: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let (mut seen, mut goodbye, mut pauses) = (Seen::default(), None, Pauses::new(self.options.patience));
            let forever = async {
                loop {
                    if let Err(error) = self.look(&says, &mut seen, &mut goodbye).await {
                        says.failed(error.to_string());
                    }
                    goodbye = None;
                    sleep(pauses.next(chance())).await;
                }
            };
            let _: Option<()> = stop.run_until_cancelled(forever).await;
            if let Some(goodbye) = goodbye {
                goodbye.say().await;
            }
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;
    use tokio::task::JoinHandle;

    use super::super::says::Report;
    use super::*;

    /// A member that runs nothing but this source.
    struct Member {
        metrics: Metrics,
        heard: watch::Receiver<Report>,
        stop: CancellationToken,
        task: JoinHandle<()>,
    }

    impl Member {
        fn start(cluster: &str, raft_id: u64, udp: u16) -> Self {
            let options = MdnsOptions {
                cluster_name: cluster.into(),
                member_name: "a".into(),
                raft_id,
                peer_address: format!("127.0.0.1:{raft_id}"),
                port: udp,
                patience: Patience::default(),
            };
            let (metrics, stop) = (Metrics::new(), CancellationToken::new());
            let source = Mdns::new(options, &metrics);
            let (says, heard) = Says::of(&source, &metrics);
            Self { metrics, heard, task: tokio::spawn(Box::new(source).run(says, stop.clone())), stop }
        }

        async fn finds(&mut self, addresses: &[&str]) {
            let found = timeout(Duration::from_secs(30), self.heard.wait_for(|report| report.addresses == addresses)).await.is_ok();
            assert!(found, "expected {addresses:?}, heard {:?}", self.heard.borrow().clone());
        }

        async fn end(self) {
            self.stop.cancel();
            self.task.await.unwrap();
        }
    }

    /// In a network of its own: the loopback interface, at a port that nobody else uses.
    #[tokio::test(flavor = "multi_thread")]
    async fn members_of_one_cluster_find_each_other_until_they_say_goodbye_and_those_of_another_are_left_alone() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut one = Member::start("ours", 1, udp);
        let mut two = Member::start("ours", 2, udp);
        let mut other = Member::start("theirs", 3, udp);
        one.finds(&["127.0.0.1:1", "127.0.0.1:2"]).await;
        two.finds(&["127.0.0.1:1", "127.0.0.1:2"]).await;
        other.finds(&["127.0.0.1:3"]).await;
        two.end().await;
        one.finds(&["127.0.0.1:1"]).await;
        // It has been there all the while, once for each of the others that it has seen.
        assert_eq!(one.metrics.cluster.rejected_peers.with_label_values(&["cluster_name"]).get(), 1);
        one.end().await;
        other.end().await;
    }

    #[test]
    fn an_address_of_this_machine_is_told_from_others() {
        assert!(is_here("127.0.0.1".parse().unwrap()));
        // Set aside for documentation: nobody has it.
        assert!(!is_here("192.0.2.1".parse().unwrap()));
    }

    #[test]
    fn what_an_instance_says_makes_it_a_candidate_or_not() {
        assert_eq!(judge("ours", "ours", "10.0.0.1:7421"), Instance::Candidate("10.0.0.1:7421".into()));
        assert_eq!(judge("ours", "theirs", "10.0.0.1:7421"), Instance::OtherCluster("theirs".into()));
        for (cluster, address) in
            [("", "10.0.0.1:7421"), ("ours", ""), ("ours", "10.0.0.1"), ("ours", "10.0.0.1:x"), ("ours", &"a".repeat(300))]
        {
            assert!(matches!(judge("ours", cluster, address), Instance::Senseless(_)), "{cluster} {address}");
        }
    }

    #[test]
    fn what_fills_the_network_fills_no_memory_and_takes_nobody_away_who_was_there() {
        let (metrics, mut seen) = (Metrics::new(), Seen::default());
        let others = metrics.cluster.rejected_peers.with_label_values(&["cluster_name"]);
        assert!(seen.take("first", Instance::Candidate("10.0.0.1:1".into()), &others));
        for i in 0..10 * CANDIDATES_MAX {
            seen.take(&format!("c{i}"), Instance::Candidate(format!("10.0.0.2:{i}")), &others);
            seen.take(&format!("o{i}"), Instance::OtherCluster("theirs".into()), &others);
        }
        assert_eq!((seen.candidates.len(), seen.ignored.len()), (CANDIDATES_MAX, CANDIDATES_MAX));
        assert!(seen.take("first", Instance::Candidate("10.0.0.9:1".into()), &others), "it may move");
        assert!(!seen.take("first", Instance::Candidate("10.0.0.9:1".into()), &others), "no news");
        assert!(seen.take("first", Instance::OtherCluster("theirs".into()), &others), "it went over to others");
        assert!(!seen.addresses().contains(&"10.0.0.9:1".to_owned()));
    }
}
