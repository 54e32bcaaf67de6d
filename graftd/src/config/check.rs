//! What the keys mean to each other. Everything that is wrong is said at once.

use graft_machine::names::check_name;

use graft_proto::peer_identity::{NAME_BYTES_MAX, is_name};

use http::Uri;

use super::{Bootstrap, Callers, Client, Cluster, Config, ConfigError, Discovery, HostPort, Otlp, Problem, Share, Tracing, bounds};
use crate::auth::redacted::Fields;
use crate::auth::rules::Rule;
use crate::observability::logging::check_level;
use crate::tls::outside::may_be_asked;

/// Heartbeats that must fit into the shortest election timeout.
const HEARTBEATS_PER_ELECTION: u64 = 3;
/// So many entries must be kept below a snapshot for each that may be in flight.
const KEEP_PER_ENTRY_IN_FLIGHT: u64 = 16;
/// Most names that are asked for: one for each member, and some.
const DNS_NAMES_MAX: usize = 16;
/// Longest name in Kubernetes.
const LABEL_BYTES_MAX: usize = 63;

impl Config {
    /// Whether the keys fit together.
    pub fn check(&self) -> Result<(), ConfigError> {
        let mut problems = Vec::new();
        names(self, &mut problems);
        cluster(self, &mut problems);
        discovery(self, &mut problems);
        listeners(self, &mut problems);
        auth(self, &mut problems);
        scheduler(self, &mut problems);
        log(self, &mut problems);
        tracing(self, &mut problems);
        let single = bounds::check(self);
        // A number that is out of its bounds by itself is not also compared with others.
        let sound = |problem: &Problem| !single.iter().any(|out| out.what == problem.what || problem.beside.contains(&out.what.as_str()));
        let mut compared = Vec::new();
        raft(self, &mut compared);
        between(self, &mut compared);
        problems.extend(compared.into_iter().filter(sound));
        problems.extend(single);
        if problems.is_empty() { Ok(()) } else { Err(ConfigError { problems }) }
    }
}

fn names(config: &Config, problems: &mut Vec<Problem>) {
    let mut check = |key: &str, name: &str| {
        if !is_name(name) {
            let why = format!("`{name}` is no name: 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`");
            problems.push(Problem::of(key, why, "choose another name"));
        }
    };
    check("cluster.name", &config.cluster.name);
    if let Some(name) = &config.node.name {
        check("node.name", name);
    }
    if config.node.data_dir.as_os_str().is_empty() {
        problems.push(Problem::of("node.data_dir", "it is empty", "name a directory, or leave the key out for ./graft-data"));
    }
}

fn cluster(config: &Config, problems: &mut Vec<Problem>) {
    let cluster = &config.cluster;
    if cluster.max_voters.is_multiple_of(2) {
        let why = format!("{} members: it must be odd; an even number survives no more losses than one less", cluster.max_voters);
        problems.push(Problem::of("cluster.max_voters", why, "use 3 or 5, the same on every member"));
    }
    for name in &cluster.expected_members {
        if !is_name(&name.replace('*', "x")) {
            let why =
                format!("`{name}` can be no member's name: 1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`, and `*` for any part");
            problems.push(Problem::of("cluster.expected_members", why, "write a name, or a pattern like graft-*"));
        }
    }
    let manual = cluster.bootstrap == Bootstrap::Manual;
    if let (true, Some(expect)) = (manual, cluster.expect) {
        let why = format!("{expect} members are expected, and an operator is to name them: only one of the two can form the cluster");
        problems.push(Problem::of("cluster.expect", why, "leave it out, or leave out cluster.bootstrap").beside(&["cluster.bootstrap"]));
    }
    if manual && config.peer_listen().is_none() {
        let why = "an operator is to name the members, and no port for members is opened";
        problems.push(Problem::of("cluster.bootstrap", why, "set cluster.peers or cluster.peer_listen").beside(&["cluster.peers"]));
    }
    if let Some(expect) = cluster.expect.filter(|_| !manual) {
        if expect.is_multiple_of(2) {
            let why = format!("{expect} members: it must be odd; an even number survives no more losses than one less");
            problems.push(Problem::of("cluster.expect", why, "use 1, 3 or 5, the same on every member"));
        }
        if expect > 1 && !config.seeks_members() {
            let why = format!("{expect} members are expected, but no peers are named: the members could never meet");
            problems.push(
                Problem::of("cluster.peers", why, "list the members' peer addresses: peers = [\"HOST:PORT\", ..]; or use [discovery]")
                    .beside(&["cluster.expect"]),
            );
        }
        if !cluster.peers.is_empty() && only_peers(config) && (expect as usize) > cluster.peers.len() + 1 {
            let why = format!("{expect} members are expected, but {} peers are named", cluster.peers.len());
            problems.push(Problem::of("cluster.peers", why, "list the peer address of every member").beside(&["cluster.expect"]));
        }
    } else if config.seeks_members() && !manual {
        let why = "other members are looked for, but not how many members form the cluster: without that number a slow start could form two clusters";
        let remedy = format!(
            "say expect = {}, the same on every member; or bootstrap = \"manual\", if this one joins a cluster that is formed",
            cluster.peers.len().max(3) | 1
        );
        problems.push(Problem::of("cluster.expect", why, remedy).beside(&["cluster.peers"]));
    }
    if config.seeks_members() && config.node.name.is_none() {
        let why = "members of a cluster are told apart by name, and this one has none";
        problems.push(
            Problem::of("node.name", why, "give each member a name of its own, like graft-0, graft-1, graft-2").beside(&["cluster.peers"]),
        );
    }
}

/// Whether nothing but the list says where members are.
fn only_peers(config: &Config) -> bool {
    let mut without = config.clone();
    without.cluster.peers.clear();
    !without.seeks_members()
}

fn discovery(config: &Config, problems: &mut Vec<Problem>) {
    let (discovery, usual) = (&config.discovery, Discovery::default());
    if discovery.dns.len() > DNS_NAMES_MAX {
        let why = format!("{} names are too many: each is asked for again and again", discovery.dns.len());
        problems.push(Problem::of("discovery.dns", why, format!("use at most {DNS_NAMES_MAX}; one name may have many addresses")));
    }
    let named = [
        ("kubernetes_service", &discovery.kubernetes_service),
        ("kubernetes_stateful_set", &discovery.kubernetes_stateful_set),
        ("kubernetes_sentinel", &discovery.kubernetes_sentinel),
        ("kubernetes_namespace", &discovery.kubernetes_namespace),
    ];
    for (key, name) in named {
        if let Some(name) = name.as_ref().filter(|name| !is_label(name)) {
            let why =
                format!("`{name}` is no name in Kubernetes: 1 to {LABEL_BYTES_MAX} small letters, digits or `-`, none of these at an end");
            problems.push(Problem::of(format!("discovery.{key}"), why, "`kubectl get services -A` shows namespaces and names"));
        }
    }
    let port = &discovery.kubernetes_port;
    let number = port.bytes().all(|byte| byte.is_ascii_digit());
    if number && !port.parse::<u16>().is_ok_and(|port| port > 0) || !number && !is_label(port) {
        let why = format!("`{port}` is neither the name of a port of the Service nor a number from 1 to 65535");
        problems.push(Problem::of("discovery.kubernetes_port", why, "use the number at which members listen, 7421 unless it was changed"));
    }
    if let Some(stateful_set) = &discovery.kubernetes_stateful_set
        && config.pod_ordinal().is_none()
    {
        let name = config.node.name.as_deref().unwrap_or("without a name");
        let why = format!("no pod of `{stateful_set}` is called as this member is: {name}");
        let remedy = "set node.name to the pod's name, which ends with its number, or leave this key out";
        problems.push(Problem::of("discovery.kubernetes_stateful_set", why, remedy).beside(&["node.name"]));
    }
    if discovery.kubernetes_service.is_none() && *port != usual.kubernetes_port {
        let why = "it says where endpoints answer members, but not of which Service";
        problems.push(Problem::of("discovery.kubernetes_port", why, "set discovery.kubernetes_service, or leave it out"));
    }
    let asks = [&discovery.kubernetes_service, &discovery.kubernetes_stateful_set, &discovery.kubernetes_sentinel];
    if asks.iter().all(|asked| asked.is_none()) {
        let said = [
            ("kubernetes_namespace", discovery.kubernetes_namespace.is_some()),
            ("kubernetes_api", discovery.kubernetes_api.is_some()),
            ("kubernetes_account", discovery.kubernetes_account != usual.kubernetes_account),
        ];
        for (key, _) in said.iter().filter(|(_, said)| *said) {
            let why = "it says how to ask Kubernetes, but not for what";
            problems.push(Problem::of(
                format!("discovery.{key}"),
                why,
                "set discovery.kubernetes_service, kubernetes_stateful_set or kubernetes_sentinel, or leave it out",
            ));
        }
    }
}

/// As Kubernetes wants names.
fn is_label(name: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=LABEL_BYTES_MAX).contains(&name.len()) && name.bytes().all(inside) && !name.starts_with('-') && !name.ends_with('-')
}

fn listeners(config: &Config, problems: &mut Vec<Problem>) {
    let listen = Some(config.client.listen.clone());
    let peer_listen = config.peer_listen();
    let pairs = [
        ("client.listen", &listen, "client.advertise", &config.client.advertise),
        ("cluster.peer_listen", &peer_listen, "cluster.peer_advertise", &config.cluster.peer_advertise),
    ];
    for (key, listen, advertise_key, advertise) in pairs {
        if let Some(listen) = listen {
            let for_members = key == "cluster.peer_listen";
            let lacks = lacks(config);
            if !for_members && !listen.is_loopback() && !config.security.insecure && !lacks.is_empty() {
                let why = format!("{listen} can be reached from other machines, and there is {lacks}");
                let remedy = "name client.cert and client.key, and client.callers_ca (`graft tls` makes them) or auth.required; or listen on \
                              127.0.0.1; or say --insecure if the network keeps strangers away";
                problems.push(Problem::of(key, why, remedy).beside(&["client.cert", "client.callers_ca", "auth.required"]));
            }
            let unreachable = |address: &HostPort| address.is_unspecified();
            if advertise.as_ref().map_or(unreachable(listen), unreachable) {
                let why = format!("{listen} stands for all addresses of this machine; others cannot be told to connect to it");
                problems.push(Problem::of(advertise_key, why, "set it to the HOST:PORT at which others reach this member").beside(&[key]));
            }
        } else if advertise.is_some() {
            problems.push(Problem::of(
                advertise_key,
                "it advertises a listener that is not opened",
                "set cluster.peers, something in [discovery], or cluster.peer_listen",
            ));
        }
    }
    with_clients(&config.client, problems);
    between_members(config, peer_listen.as_ref(), problems);
    if let Some(health) = config.client.health_listen.as_ref().filter(|health| health.port() != 0) {
        let taken = [("client.listen", Some(&config.client.listen)), ("cluster.peer_listen", peer_listen.as_ref())];
        for (key, _) in taken.iter().filter(|(_, other)| *other == Some(health)) {
            let why = format!("{health} is taken by {key}");
            problems.push(Problem::of("client.health_listen", why, "use a port of its own, or leave it out").beside(&[key]));
        }
    }
    if peer_listen.is_some_and(|peer| peer == config.client.listen && peer.port() != 0) {
        let why = "clients and members cannot share one port";
        problems.push(Problem::of("cluster.peer_listen", why, "use another port for members, like 7421").beside(&["client.listen"]));
    }
}

fn raft(config: &Config, problems: &mut Vec<Problem>) {
    let raft = &config.raft;
    if raft.election_min.millis() < HEARTBEATS_PER_ELECTION * raft.heartbeat.millis() {
        let why = format!(
            "{} is less than {HEARTBEATS_PER_ELECTION} heartbeats of {}: one lost heartbeat would unseat a healthy leader",
            raft.election_min, raft.heartbeat
        );
        problems.push(Problem::of("raft.election_min", why, "raise it, or lower raft.heartbeat").beside(&["raft.heartbeat"]));
    }
    if raft.election_max <= raft.election_min {
        let why = format!("{} is not above raft.election_min ({}): candidates would collide", raft.election_max, raft.election_min);
        problems.push(Problem::of("raft.election_max", why, "twice raft.election_min is usual").beside(&["raft.election_min"]));
    }
    if config.scheduler.lease.millis() <= 2 * raft.election_max.millis() {
        let why = format!("{} would end before a new leader can be elected ({})", config.scheduler.lease, raft.election_max);
        problems.push(
            Problem::of("scheduler.lease", why, "make it several times raft.election_max; 10s is usual").beside(&["raft.election_max"]),
        );
    }
}

/// What is missing to serve clients beyond loopback; empty: nothing.
fn lacks(config: &Config) -> &'static str {
    let client = &config.client;
    let shows = config.auth.required || client.callers_ca.is_some() && client.callers == Callers::Required;
    match (client.cert.is_some(), shows) {
        (false, false) => "neither TLS nor authentication",
        (false, true) => "authentication, but what shows who it is would go there in the clear: there is no TLS",
        (true, false) => "TLS, but nobody has to show who it is",
        (true, true) => "",
    }
}

fn with_clients(client: &Client, problems: &mut Vec<Problem>) {
    let Client { cert, key, callers_ca, callers, .. } = client;
    let pair = [("client.cert", cert, "client.key"), ("client.key", key, "client.cert")];
    if cert.is_some() != key.is_some() {
        for (missing, _, there) in pair.iter().filter(|(_, file, _)| file.is_none()) {
            let why = "a certificate and its key belong together, and this one is not named";
            let remedy = "name both; `graft tls issue MEMBER --host HOST` makes them";
            problems.push(Problem::of(*missing, why, remedy).beside(&[there]));
        }
    }
    if callers_ca.is_some() && cert.is_none() {
        let why = "clients can show certificates only where this member shows one as well";
        problems.push(Problem::of("client.callers_ca", why, "name client.cert and client.key, or leave it out").beside(&["client.cert"]));
    }
    if callers_ca.is_none() && *callers != Callers::default() {
        let why = "it says how certificates of callers are asked for, but not of which authority";
        problems.push(Problem::of("client.callers", why, "set client.callers_ca, or leave it out").beside(&["client.callers_ca"]));
    }
}

fn auth(config: &Config, problems: &mut Vec<Problem>) {
    let auth = &config.auth;
    for rule in &auth.rules {
        if let Err(why) = rule.parse::<Rule>() {
            let remedy = "write it like `certificate ops-* cluster-admin` or `claim groups=payments operator@billing`";
            problems.push(Problem::of("auth.rules", format!("`{rule}` {why}"), remedy));
        }
    }
    let provider = auth.oidc_issuer.is_some();
    if let Err(why) = Fields::of(&auth.redacted_fields) {
        problems.push(Problem::of("auth.redacted_fields", why, "write names like password, and pointers like /cards/*/number"));
    }
    if auth.required && auth.root_token_file.is_none() && auth.rules.is_empty() {
        let why = "callers have to show who they are, and nobody could be granted anything";
        let remedy = "name a root token in auth.root_token_file, with which API tokens are made, or write auth.rules";
        problems.push(Problem::of("auth.required", why, remedy).beside(&["auth.root_token_file", "auth.rules"]));
    }
    if let Some(issuer) = &auth.oidc_issuer
        && !issuer.parse().is_ok_and(|uri| may_be_asked(&uri))
    {
        let why = format!("`{issuer}` is no URL that begins with https:// (or, on this machine, with http://)");
        problems.push(Problem::of("auth.oidc_issuer", why, "write it as the tokens of the identity provider have it (`iss`)"));
    }
    if provider && auth.oidc_audience.is_none() {
        let why = "tokens that the identity provider makes for anybody else would be taken as well";
        problems.push(Problem::of("auth.oidc_audience", why, "say for whom they have to be made (`aud`)").beside(&["auth.oidc_issuer"]));
    }
    let alone = [
        ("auth.oidc_audience", auth.oidc_audience.is_some()),
        ("auth.oidc_jwks_file", auth.oidc_jwks_file.is_some()),
        ("auth.oidc_ca", auth.oidc_ca.is_some()),
    ];
    for (key, _) in alone.into_iter().filter(|(_, said)| *said && !provider) {
        let why = "it says something of an identity provider, and none is named";
        problems.push(Problem::of(key, why, "set auth.oidc_issuer, or leave it out").beside(&["auth.oidc_issuer"]));
    }
}

/// Whoever reached the peer port could write the log: in the clear it is opened on loopback alone, and only if that is said.
fn between_members(config: &Config, peer_listen: Option<&HostPort>, problems: &mut Vec<Problem>) {
    let Cluster { peer_ca, peer_cert, peer_key, peers, .. } = &config.cluster;
    let files = [("cluster.peer_ca", peer_ca), ("cluster.peer_cert", peer_cert), ("cluster.peer_key", peer_key)];
    let named = files.iter().filter(|(_, file)| file.is_some()).count();
    let make = "make them with `graft tls init` and `graft tls issue`, or take them from your own authority";
    if named == files.len() {
        if peer_listen.is_none() {
            problems.push(Problem::of(
                "cluster.peer_ca",
                "there are certificates for members, and no other members",
                "set cluster.peers or cluster.peer_listen",
            ));
        }
        return;
    }
    if named > 0 {
        for (key, _) in files.iter().filter(|(_, file)| file.is_none()) {
            problems.push(Problem::of(*key, "TLS between members needs three files, and this one is not named", make));
        }
        return;
    }
    let Some(listen) = peer_listen else { return };
    let strangers = std::iter::once(("cluster.peer_listen", listen.to_string(), listen.is_loopback()))
        .chain(peers.iter().map(|peer| ("cluster.peers", peer.to_string(), peer.is_loopback())))
        .chain(config.discovery.dns.iter().map(|name| ("discovery.dns", name.to_string(), name.is_loopback())))
        .chain(
            config.discovery.kubernetes_service.iter().map(|name| ("discovery.kubernetes_service", format!("what `{name}` finds"), false)),
        );
    let strangers: Vec<_> = strangers.filter(|(.., loopback)| !loopback).collect();
    for (key, address, _) in &strangers {
        let why = format!("{address} is not on this machine alone, and members would speak without TLS");
        problems
            .push(Problem::of(*key, why, format!("name cluster.peer_ca, peer_cert and peer_key ({make})")).beside(&["cluster.peer_ca"]));
    }
    if strangers.is_empty() && !config.security.insecure {
        let why = "members would speak without TLS: whoever is on this machine could write the log";
        problems.push(
            Problem::of("cluster.peer_ca", why, format!("{make}; or say --insecure to try things out")).beside(&["security.insecure"]),
        );
    }
}

fn scheduler(config: &Config, problems: &mut Vec<Problem>) {
    for name in config.scheduler.node_limits.keys() {
        let (namespace, node) = name.split_once('/').unwrap_or(("default", name));
        if let Some(error) = check_name(namespace).err().or(check_name(node).err()) {
            let why = format!("this names no node: it {error}");
            problems.push(Problem::of(format!("scheduler.node_limits.{name}"), why, "write `node` or `namespace/node`"));
        }
    }
}

/// What several numbers must be to each other.
fn between(config: &Config, problems: &mut Vec<Problem>) {
    let raft = &config.raft;
    if raft.pending_commands < raft.batch_commands {
        let why = format!("{} is less than one entry holds (raft.batch_commands, {})", raft.pending_commands, raft.batch_commands);
        problems.push(Problem::of("raft.pending_commands", why, "make it several times as much").beside(&["raft.batch_commands"]));
    }
    let least = KEEP_PER_ENTRY_IN_FLIGHT.saturating_mul(raft.entries_in_flight as u64);
    if raft.log_keep < least {
        let why = format!("{} is too small: what is in flight must never be purged", raft.log_keep);
        let remedy = format!("use at least {least}, {KEEP_PER_ENTRY_IN_FLIGHT} times raft.entries_in_flight");
        problems.push(Problem::of("raft.log_keep", why, remedy).beside(&["raft.entries_in_flight"]));
    }
}

fn log(config: &Config, problems: &mut Vec<Problem>) {
    if let Err(cause) = check_level(&config.log.level) {
        let why = format!("`{}` is neither a level nor directives: {cause}", config.log.level);
        problems.push(Problem::of("log.level", why, "use error, warn, info, debug or trace, or `info,graftd::scheduler=debug`"));
    }
}

fn tracing(config: &Config, problems: &mut Vec<Problem>) {
    let Tracing { endpoint, protocol, headers_file, sample, ca, insecure } = &config.tracing;
    let Some(endpoint) = endpoint else {
        let alone = [
            ("tracing.protocol", *protocol != Otlp::Grpc),
            ("tracing.headers_file", headers_file.is_some()),
            ("tracing.sample", *sample != Share::ALL),
            ("tracing.ca", ca.is_some()),
            ("tracing.insecure", *insecure),
        ];
        for (key, _) in alone.into_iter().filter(|(_, said)| *said) {
            let why = "it says something of the spans that are exported, and none are";
            problems.push(Problem::of(key, why, "set tracing.endpoint, or leave it out").beside(&["tracing.endpoint"]));
        }
        return;
    };
    let Some(uri) = endpoint.parse().ok().filter(has_host_and_port) else {
        let why = format!("`{endpoint}` is no address of a collector");
        problems.push(Problem::of("tracing.endpoint", why, "write it like https://collector.example:4317"));
        return;
    };
    if *protocol == Otlp::Grpc && !matches!(uri.path(), "" | "/") {
        let why = format!("`{endpoint}` has a path, and over gRPC there is none");
        let remedy = "write it like https://collector.example:4317, without a path; or set tracing.protocol to \"http/protobuf\"";
        problems.push(Problem::of("tracing.endpoint", why, remedy).beside(&["tracing.protocol"]));
    }
    if !*insecure && !may_be_asked(&uri) {
        let why = format!("`{endpoint}` is on another machine, and spans would go there in the clear");
        let remedy = "use https://, or a collector on this machine; or set tracing.insecure if the network keeps strangers away";
        problems.push(Problem::of("tracing.endpoint", why, remedy).beside(&["tracing.insecure"]));
    }
    if ca.is_some() && uri.scheme_str() != Some("https") {
        let why = "the collector shows no certificate where there is no TLS";
        problems.push(Problem::of("tracing.ca", why, "use https:// in tracing.endpoint, or leave it out").beside(&["tracing.endpoint"]));
    }
}

fn has_host_and_port(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some() && uri.port_u16().is_some() && uri.query().is_none()
}
