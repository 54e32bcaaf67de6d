//! Carries the configuration to the floors: every key that a floor reads passes through here.

use std::sync::Arc;

use graft_proto::peer_identity::MemberIdentity;

use super::error::StartError;
use crate::auth::jwt::Provider;
use crate::auth::keys::{self, Keys};
use crate::auth::redacted::Fields;
use crate::auth::rules::Rules;
use crate::auth::token::{Kind, Token};
use crate::auth::{Asked, AuthOptions, root_hash};
use crate::config::{self, Cluster, Config, Discovery, HostPort};
use crate::consensus::{ConsensusOptions, MemberInfo, MembershipRules};
use crate::discovery::formation_rules::Bootstrap;
use crate::discovery::join_policy::JoinPolicy;
use crate::discovery::records::Candidate;
use crate::discovery::sentinel::Sentinel;
use crate::discovery::service_account::ServiceAccount;
use crate::discovery::sources::{Dns, Kubernetes, KubernetesOptions, MDNS_PORT, Mdns, MdnsOptions, Patience, Source, StaticList};
use crate::discovery::stateful_set::StatefulSetPod;
use crate::observability::metrics::Metrics;
use crate::observability::traces::collector::{Address, Way, headers};
use crate::observability::traces::ids::Policy;
use crate::observability::traces::{Exporting, Traces};
use crate::scheduler::{SchedulerOptions, SeedLimits};
use crate::storage::{LogOptions, StateOptions};
use crate::tls::MaterialError;
use crate::tls::clients::{ClientFiles, ClientTls};
use crate::tls::members::{MaterialFiles, PeerSecurity};
use crate::tls::outside::{Outside, OutsideCalls};

/// Namespace of a node limit that names none.
const NAMESPACE_DEFAULT: &str = "default";

/// What is wrong with the files that the configuration names, as the daemon would refuse them. Whose data directory has a cluster shows nobody a join
/// token.
pub(super) fn unfit_files(config: &Config, member: &str, has_cluster: bool) -> Vec<StartError> {
    let all = [
        peer_security(config, member).err().map(StartError::PeerTls),
        client_tls(config).err().map(StartError::ClientTls),
        auth(config).err(),
        collector(config).err(),
        if has_cluster { None } else { join_token(config).err() },
    ];
    all.into_iter().flatten().collect()
}

pub(super) fn state(config: &Config) -> StateOptions {
    let storage = &config.storage;
    StateOptions {
        cache_bytes: storage.cache.bytes(),
        overlay_bytes: storage.overlay.bytes(),
        flush_interval_ms: storage.flush_interval.millis(),
    }
}

pub(super) fn log(config: &Config) -> LogOptions {
    LogOptions { cache_bytes: config.storage.log_cache.bytes(), tail_bytes: config.storage.log_tail.bytes() }
}

/// Reads the files for TLS between members, if some are named.
pub(super) fn peer_security(config: &Config, member: &str) -> Result<PeerSecurity, MaterialError> {
    let Cluster { name, peer_ca, peer_cert, peer_key, .. } = &config.cluster;
    let (Some(ca), Some(cert), Some(key)) = (peer_ca, peer_cert, peer_key) else { return Ok(PeerSecurity::Plain) };
    let files = MaterialFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone() };
    PeerSecurity::tls(files, MemberIdentity { cluster: name.clone(), member: member.to_owned() })
}

/// Reads the files for TLS with clients, if some are named.
pub(super) fn client_tls(config: &Config) -> Result<Option<ClientTls>, MaterialError> {
    let config::Client { cert, key, callers_ca, callers, .. } = &config.client;
    let (Some(cert), Some(key)) = (cert, key) else { return Ok(None) };
    let callers = callers_ca.clone().map(|ca| (ca, *callers == config::Callers::Required));
    ClientTls::new(ClientFiles { cert: cert.clone(), key: key.clone(), callers }).map(Some)
}

/// What is asked of callers, as far as it may change while the daemon runs.
pub(super) fn asked(config: &Config) -> Result<Asked, StartError> {
    let config::Auth { required, root_token_file, rules, .. } = &config.auth;
    let root = root_token_file.as_ref().map(|file| {
        let wrong = |cause: String| StartError::Auth { key: "auth.root_token_file", path: file.display().to_string(), cause };
        let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
        root_hash(&text).map_err(wrong)
    });
    let rules = rules.iter().map(|rule| rule.parse().expect("checked with the configuration")).collect();
    Ok(Asked { required: *required, root: root.transpose()?, rules: Rules(rules) })
}

/// Fields of states and configs that few may see.
pub(super) fn redacted(config: &Config) -> Arc<Fields> {
    Arc::new(Fields::of(&config.auth.redacted_fields).expect("checked with the configuration"))
}

/// What is asked of callers.
pub(super) fn auth(config: &Config) -> Result<AuthOptions, StartError> {
    let config::Auth { oidc_issuer, oidc_audience, oidc_name_claim, oidc_jwks_file, oidc_ca, .. } = &config.auth;
    let provider = oidc_issuer.as_ref().map(|issuer| {
        let (audience, name_claim) = (oidc_audience.clone().unwrap_or_default(), oidc_name_claim.clone());
        let source = match oidc_jwks_file {
            Some(file) => keys::Source::File(file.clone()),
            None => keys::Source::Issuer(issuer.clone(), Box::new(Outside::trusting(oidc_ca.as_deref())?)),
        };
        let keys = Keys::new(source).map_err(|cause| {
            let path = oidc_jwks_file.as_ref().map_or(String::new(), |file| file.display().to_string());
            StartError::Auth { key: "auth.oidc_jwks_file", path, cause }
        })?;
        Ok::<_, StartError>((Provider { issuer: issuer.clone(), audience, name_claim }, keys))
    });
    Ok(AuthOptions { asked: asked(config)?, provider: provider.transpose()? })
}

/// What makes a set of first members.
pub(super) fn bootstrap(config: &Config) -> Bootstrap {
    match config.cluster.bootstrap {
        config::Bootstrap::Expect => Bootstrap::Expect(config.expect()),
        config::Bootstrap::Manual => Bootstrap::Manual,
    }
}

/// The token that this member shows when it asks to join; empty: none is configured.
pub(super) fn join_token(config: &Config) -> Result<String, StartError> {
    let Some(file) = &config.cluster.join_token_file else { return Ok(String::new()) };
    let wrong = |cause: String| StartError::JoinToken { path: file.display().to_string(), cause };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    Token::parse(Kind::Join, &text).map(|token| token.reveal()).map_err(wrong)
}

/// What a leader keeps to when members come or go.
pub(super) fn membership(config: &Config) -> MembershipRules {
    let cluster = &config.cluster;
    MembershipRules {
        join: match cluster.join {
            config::Join::Open => JoinPolicy::Open,
            config::Join::Restricted => JoinPolicy::Restricted { expected: cluster.expected_members.clone() },
            config::Join::Strict => JoinPolicy::Strict,
        },
        voters_max: cluster.max_voters as usize,
        promote_after: cluster.promote_after.duration(),
        replace_after: cluster.replace_after.duration(),
    }
}

/// Where members are looked for. `in_pod` is what Kubernetes tells a pod about its API server.
pub(super) fn sources(config: &Config, me: &Candidate, metrics: &Metrics, in_pod: Option<HostPort>) -> Vec<Box<dyn Source>> {
    let Discovery { mdns, kubernetes_service, .. } = &config.discovery;
    let mut sources: Vec<Box<dyn Source>> = Vec::new();
    if !config.cluster.peers.is_empty() {
        sources.push(Box::new(StaticList::new(config.cluster.peers.iter().map(HostPort::to_string))));
    }
    for name in dns(&config.discovery) {
        sources.push(Box::new(name));
    }
    if let Some(service) = kubernetes_service {
        sources.push(Box::new(Kubernetes::new(kubernetes(&config.discovery, service, in_pod))));
    }
    if *mdns {
        let options = MdnsOptions {
            cluster_name: config.cluster.name.clone(),
            member_name: me.name.clone(),
            raft_id: me.raft_id,
            peer_address: me.peer_address.clone(),
            port: MDNS_PORT,
            patience: Patience::default(),
        };
        sources.push(Box::new(Mdns::new(options, metrics)));
    }
    sources
}

fn dns(discovery: &Discovery) -> Vec<Dns> {
    discovery.dns.iter().map(|name| Dns::new(name.host(), name.port(), discovery.dns_every.duration())).collect()
}

fn kubernetes(discovery: &Discovery, service: &str, in_pod: Option<HostPort>) -> KubernetesOptions {
    KubernetesOptions {
        server: api_server(discovery, in_pod),
        account: discovery.kubernetes_account.clone(),
        service: service.to_owned(),
        namespace: discovery.kubernetes_namespace.clone(),
        port: discovery.kubernetes_port.parse().expect("the configuration was checked"),
        patience: Patience::default(),
    }
}

/// The pod that this member is, if it leaves the cluster with it.
pub(super) fn pod(config: &Config, in_pod: Option<HostPort>) -> Option<StatefulSetPod> {
    let stateful_set = config.discovery.kubernetes_stateful_set.clone()?;
    Some(StatefulSetPod { stateful_set, ordinal: config.pod_ordinal()?, account: account(&config.discovery, in_pod) })
}

/// Where it is noted that a cluster was formed, if that is asked for.
pub(super) fn sentinel(config: &Config, in_pod: Option<HostPort>) -> Option<Sentinel> {
    let config_map = config.discovery.kubernetes_sentinel.clone()?;
    Some(Sentinel { config_map, account: account(&config.discovery, in_pod) })
}

fn account(discovery: &Discovery, in_pod: Option<HostPort>) -> ServiceAccount {
    ServiceAccount {
        server: api_server(discovery, in_pod),
        account: discovery.kubernetes_account.clone(),
        namespace: discovery.kubernetes_namespace.clone(),
        answer: Patience::default().answer,
    }
}

fn api_server(discovery: &Discovery, in_pod: Option<HostPort>) -> Option<String> {
    discovery.kubernetes_api.clone().or(in_pod).map(|api| format!("https://{api}"))
}

/// Where the API server is, as Kubernetes tells each pod.
pub(super) fn told_by_kubernetes() -> Option<HostPort> {
    let (host, port) = (std::env::var("KUBERNETES_SERVICE_HOST").ok()?, std::env::var("KUBERNETES_SERVICE_PORT").ok()?);
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    format!("{host}:{port}").parse().ok()
}

/// The collector of spans, if one is configured.
pub(super) fn collector(config: &Config) -> Result<Option<Address>, StartError> {
    let config::Tracing { endpoint, protocol, headers_file, ca, .. } = &config.tracing;
    let Some(endpoint) = endpoint else { return Ok(None) };
    let origin = endpoint.parse().expect("checked with the configuration");
    let (way, calls) = match protocol {
        config::Otlp::Grpc => (Way::Grpc, OutsideCalls::grpc(origin, ca.as_deref())),
        config::Otlp::Http => (Way::Http, OutsideCalls::http(origin, ca.as_deref())),
    };
    let calls = calls.map_err(StartError::Collector)?;
    if let Some(file) = headers_file {
        headers(file).map_err(StartError::CollectorHeaders)?;
    }
    Ok(Some(Address { calls, way, headers: headers_file.clone(), endpoint: endpoint.clone() }))
}

/// What is exported, and as whose.
pub(super) fn exporting(config: &Config, member: &str) -> Exporting {
    Exporting { member: member.to_owned(), cluster: config.cluster.name.clone(), sampled_ppm: config.tracing.sample.millionths() }
}

pub(super) fn consensus(config: &Config, member: MemberInfo, security: PeerSecurity, traces: Traces) -> ConsensusOptions {
    let raft = &config.raft;
    ConsensusOptions {
        member,
        security,
        membership: membership(config),
        cluster_name: config.cluster.name.clone(),
        heartbeat_ms: raft.heartbeat.millis(),
        election_min_ms: raft.election_min.millis(),
        election_max_ms: raft.election_max.millis(),
        batch_commands: raft.batch_commands,
        batch_bytes: raft.batch_bytes.bytes(),
        entries_in_flight: raft.entries_in_flight,
        pending_commands_max: raft.pending_commands,
        snapshot_every_entries: raft.snapshot_every,
        snapshot_every_bytes: raft.snapshot_every_bytes.bytes() as u64,
        log_keep_entries: raft.log_keep,
        log_keep_bytes: raft.log_keep_bytes.bytes() as u64,
        traces,
    }
}

pub(super) fn scheduler(config: &Config, traces: Policy) -> SchedulerOptions {
    let scheduler = &config.scheduler;
    let nodes = scheduler.node_limits.iter().map(|(name, limit)| {
        let (namespace, node) = name.split_once('/').unwrap_or((NAMESPACE_DEFAULT, name));
        (namespace.to_owned(), node.to_owned(), *limit)
    });
    let total = (scheduler.total_limit > 0).then_some(scheduler.total_limit);
    SchedulerOptions {
        lease_ms: scheduler.lease.millis(),
        seed_limits: SeedLimits { total, nodes: nodes.collect() },
        traces,
        ..SchedulerOptions::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Share, Size, Span};
    use crate::discovery::sources::PeerPort;

    /// Every number of these sections, set to one of its own.
    fn distinct() -> Config {
        let mut config = Config::default();
        config.cluster.name = "c".into();
        config.cluster.join = config::Join::Restricted;
        config.cluster.expected_members = vec!["graft-*".into()];
        config.cluster.max_voters = 7;
        config.cluster.promote_after = Span::from_millis(21);
        config.cluster.replace_after = Span::from_millis(22);
        config.raft.heartbeat = Span::from_millis(1);
        config.raft.election_min = Span::from_millis(2);
        config.raft.election_max = Span::from_millis(3);
        config.raft.batch_commands = 4;
        config.raft.batch_bytes = Size::from_bytes(5);
        config.raft.entries_in_flight = 6;
        config.raft.pending_commands = 7;
        config.raft.snapshot_every = 8;
        config.raft.log_keep = 9;
        config.raft.snapshot_every_bytes = Size::from_bytes(19);
        config.raft.log_keep_bytes = Size::from_bytes(20);
        config.storage.cache = Size::from_bytes(10);
        config.storage.log_cache = Size::from_bytes(11);
        config.storage.overlay = Size::from_bytes(12);
        config.storage.flush_interval = Span::from_millis(13);
        config.storage.log_tail = Size::from_bytes(14);
        config.scheduler.lease = Span::from_millis(15);
        config.scheduler.total_limit = 16;
        config.scheduler.node_limits = [("ocr".to_owned(), 17), ("team/ocr".to_owned(), 18)].into();
        config
    }

    #[test]
    fn every_key_of_raft_reaches_consensus() {
        let member = MemberInfo { name: "a".into(), ..MemberInfo::default() };
        let options = consensus(&distinct(), member.clone(), PeerSecurity::Plain, Traces::none());
        assert_eq!(options.member, member);
        assert_eq!(options.cluster_name, "c");
        assert_eq!((options.heartbeat_ms, options.election_min_ms, options.election_max_ms), (1, 2, 3));
        assert_eq!((options.batch_commands, options.batch_bytes), (4, 5));
        assert_eq!((options.entries_in_flight, options.pending_commands_max), (6, 7));
        assert_eq!((options.snapshot_every_entries, options.log_keep_entries), (8, 9));
        assert_eq!((options.snapshot_every_bytes, options.log_keep_bytes), (19, 20));
    }

    fn names_of(config: &Config) -> Vec<String> {
        let me = Candidate { name: "a".into(), raft_id: 1, peer_address: "127.0.0.1:7421".into(), client_address: "127.0.0.1:7420".into() };
        sources(config, &me, &Metrics::new(), None).iter().map(|source| source.name()).collect()
    }

    #[test]
    fn every_place_that_is_configured_is_looked_at() {
        let mut config = Config::default();
        assert_eq!(names_of(&config), Vec::<String>::new());
        config.cluster.peers = vec![HostPort::loopback(7421)];
        config.discovery.dns = vec!["graft-headless:7421".parse().unwrap(), "[::1]:7421".parse().unwrap()];
        config.discovery.kubernetes_service = Some("graft".into());
        config.discovery.mdns = true;
        let expected = ["cluster.peers", "dns graft-headless:7421", "dns [::1]:7421", "kubernetes service graft", "mdns"];
        assert_eq!(names_of(&config), expected);
    }

    #[test]
    fn every_key_of_dns_reaches_a_source_for_each_name() {
        let dns_every = Span::from_millis(7);
        let discovery = Discovery { dns: vec!["a:1".parse().unwrap(), "b:2".parse().unwrap()], dns_every, ..Discovery::default() };
        assert_eq!(dns(&discovery), [Dns::new("a", 1, dns_every.duration()), Dns::new("b", 2, dns_every.duration())]);
    }

    #[test]
    fn every_key_of_kubernetes_reaches_the_source_and_what_is_configured_stands_above_what_a_pod_is_told() {
        let mut discovery = Discovery { kubernetes_namespace: Some("ns".into()), kubernetes_port: "peer".into(), ..Discovery::default() };
        discovery.kubernetes_account = "/account".into();
        let in_pod: HostPort = "10.96.0.1:443".parse().unwrap();
        let options = kubernetes(&discovery, "graft", Some(in_pod.clone()));
        let expected = KubernetesOptions {
            server: Some("https://10.96.0.1:443".into()),
            account: "/account".into(),
            service: "graft".into(),
            namespace: Some("ns".into()),
            port: PeerPort::Named("peer".into()),
            patience: Patience::default(),
        };
        assert_eq!(options, expected);
        discovery.kubernetes_api = Some("[::1]:6443".parse().unwrap());
        assert_eq!(kubernetes(&discovery, "graft", Some(in_pod)).server.as_deref(), Some("https://[::1]:6443"));
        assert_eq!(kubernetes(&Discovery::default(), "graft", None).server, None);
    }

    #[test]
    fn every_key_of_tracing_reaches_the_exporter() {
        let mut config = distinct();
        assert!(collector(&config).expect("none is configured").is_none());
        config.tracing.endpoint = Some("https://collector.example:4317".into());
        config.tracing.sample = Share::from_millionths(23);
        let Exporting { member, cluster, sampled_ppm } = exporting(&config, "a");
        assert_eq!((member.as_str(), cluster.as_str(), sampled_ppm), ("a", "c", 23));
        let address = collector(&config).expect("no file is named").expect("it is configured");
        assert_eq!((address.endpoint.as_str(), address.way, address.headers), ("https://collector.example:4317", Way::Grpc, None));
        config.tracing.protocol = config::Otlp::Http;
        assert_eq!(collector(&config).expect("no file is named").expect("it is configured").way, Way::Http);
        config.tracing.headers_file = Some("/no/such/headers".into());
        let refused = collector(&config).expect_err("there is no such file").to_string();
        assert!(refused.contains("/no/such/headers") && refused.contains("tracing.headers_file"), "{refused}");
        config.tracing.ca = Some("/no/such/file".into());
        let refused = collector(&config).expect_err("there is no such file").to_string();
        assert!(refused.contains("/no/such/file") && refused.contains("tracing.ca"), "{refused}");
    }

    #[test]
    fn every_key_about_members_reaches_consensus() {
        let rules = membership(&distinct());
        assert_eq!(rules.join, JoinPolicy::Restricted { expected: vec!["graft-*".into()] });
        assert_eq!((rules.voters_max, rules.promote_after.as_millis(), rules.replace_after.as_millis()), (7, 21, 22));
        for (said, policy) in [(config::Join::Open, JoinPolicy::Open), (config::Join::Strict, JoinPolicy::Strict)] {
            let mut config = distinct();
            config.cluster.join = said;
            assert_eq!(membership(&config).join, policy);
        }
        let mut config = distinct();
        config.cluster.expect = Some(3);
        assert_eq!(bootstrap(&config), Bootstrap::Expect(3));
        config.cluster.bootstrap = config::Bootstrap::Manual;
        assert_eq!(bootstrap(&config), Bootstrap::Manual);
    }

    #[test]
    fn a_join_token_is_read_from_its_file_or_refused_with_its_name() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("token");
        let mut config = Config::default();
        assert_eq!(join_token(&config).expect("none is needed"), "");
        config.cluster.join_token_file = Some(file.clone());
        let said = join_token(&config).expect_err("no file").to_string();
        assert!(said.contains("token: No such file"), "{said}");
        std::fs::write(&file, "secret-but-wrong").expect("written");
        let said = join_token(&config).expect_err("no token").to_string();
        assert!(said.contains("it is no join token") && !said.contains("secret-but-wrong"), "{said}");
        let token = Token::mint(Kind::Join);
        std::fs::write(&file, token.reveal() + "\n").expect("written");
        assert_eq!(join_token(&config).expect("a token"), token.reveal());
    }

    #[test]
    fn every_key_of_storage_reaches_the_two_files() {
        let config = distinct();
        let (state, log) = (state(&config), log(&config));
        assert_eq!((state.cache_bytes, state.overlay_bytes, state.flush_interval_ms), (10, 12, 13));
        assert_eq!((log.cache_bytes, log.tail_bytes), (11, 14));
    }

    #[test]
    fn every_key_of_the_scheduler_reaches_it() {
        let options = scheduler(&distinct(), Policy::default());
        assert_eq!(options.lease_ms, 15);
        assert_eq!(options.seed_limits.total, Some(16));
        let nodes = [("default".into(), "ocr".into(), 17), ("team".into(), "ocr".into(), 18)];
        assert_eq!(options.seed_limits.nodes, nodes);
        assert_eq!(scheduler(&Config::default(), Policy::default()).seed_limits.total, None, "0 is no limit");
    }
}
