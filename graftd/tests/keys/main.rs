//! Declared means wired: for every key of the configuration a test that shows what it changes.
//!
//! [`SHOWN`] is the list; a key without a row fails. What shows from outside is shown here, on daemons in this process that read a file as an
//! operator writes it; the log and exit codes by the real binary (`tests/process.rs`); what only a dying leader, a full disk or a counted read
//! shows, on the floor that does it (`tests/consensus`, `tests/storage`), where `app/options.rs` carries the key, which is tested there.

mod work;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

use futures::stream;
use graft_proto::v1;
use graft_proto::v1::cluster_service_client::ClusterServiceClient;
use graft_proto::v1::workflow_service_client::WorkflowServiceClient;
use graftd::app::{Daemon, Prepared};
use graftd::config::{Change, Config, Flags, HostPort, Size, Sources, Span, all_keys, live_keys, load};
use http::uri::PathAndQuery;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tonic::Request;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};

/// For each key the file below `graftd/` and the test in it that shows what the key changes.
const SHOWN: &[(&str, &str, &str)] = &[
    ("node.name", "tests/keys/main.rs", "others_are_told_the_names_and_the_addresses_that_are_advertised"),
    ("node.data_dir", "tests/keys/main.rs", "the_data_and_the_ports_are_where_they_were_said_to_be"),
    ("client.listen", "tests/keys/main.rs", "the_data_and_the_ports_are_where_they_were_said_to_be"),
    ("client.advertise", "tests/keys/main.rs", "others_are_told_the_names_and_the_addresses_that_are_advertised"),
    ("client.cert", "src/tls/clients.rs", "a_caller_is_known_by_its_certificate_and_by_nothing_without_one"),
    ("client.key", "src/tls/clients.rs", "a_caller_is_known_by_its_certificate_and_by_nothing_without_one"),
    ("client.callers_ca", "src/tls/clients.rs", "without_a_certificate_of_the_authority_nobody_gets_in_where_one_is_asked_for"),
    ("client.callers", "src/tls/clients.rs", "a_caller_is_known_by_its_certificate_and_by_nothing_without_one"),
    ("client.health_listen", "tests/keys/main.rs", "probes_have_a_listener_of_their_own_where_that_was_said"),
    ("cluster.name", "tests/process.rs", "data_of_another_cluster_end_it_with_77"),
    ("cluster.expect", "tests/formation.rs", "three_members_form_one_cluster_and_stay_it"),
    ("cluster.peers", "tests/formation.rs", "three_members_form_one_cluster_and_stay_it"),
    ("cluster.peer_listen", "tests/keys/main.rs", "the_data_and_the_ports_are_where_they_were_said_to_be"),
    ("cluster.peer_advertise", "tests/keys/main.rs", "others_are_told_the_names_and_the_addresses_that_are_advertised"),
    ("cluster.peer_ca", "tests/formation.rs", "members_with_certificates_form_a_cluster_and_strangers_are_not_heard"),
    ("cluster.peer_cert", "tests/formation.rs", "members_with_certificates_form_a_cluster_and_strangers_are_not_heard"),
    ("cluster.peer_key", "tests/formation.rs", "members_with_certificates_form_a_cluster_and_strangers_are_not_heard"),
    ("cluster.bootstrap", "tests/membership.rs", "an_operator_names_the_first_members_where_that_is_configured"),
    ("cluster.join", "tests/membership.rs", "who_joins_was_approved_by_the_name_in_its_certificate_where_the_policy_is_strict"),
    ("cluster.expected_members", "tests/membership.rs", "who_joins_is_expected_or_shows_a_token_where_the_policy_is_restricted"),
    ("cluster.join_token_file", "tests/membership.rs", "who_joins_is_expected_or_shows_a_token_where_the_policy_is_restricted"),
    ("cluster.max_voters", "tests/membership.rs", "learners_become_voters_when_the_keys_allow_and_when_an_operator_says"),
    ("cluster.promote_after", "tests/membership.rs", "learners_become_voters_when_the_keys_allow_and_when_an_operator_says"),
    ("cluster.replace_after", "tests/membership.rs", "a_member_with_a_new_disk_takes_the_place_of_its_lost_self"),
    ("discovery.dns", "tests/discovery.rs", "members_find_each_other_behind_names_and_a_name_that_is_none_is_told_and_harms_nobody"),
    ("discovery.dns_every", "src/discovery/sources/dns.rs", "a_name_is_asked_for_again_and_its_addresses_come_and_go"),
    ("discovery.mdns", "tests/discovery.rs", "members_that_announce_themselves_form_one_cluster"),
    (
        "discovery.kubernetes_service",
        "src/discovery/sources/kubernetes_tests.rs",
        "a_list_is_followed_by_a_watch_and_a_watch_that_was_closed_is_taken_up_where_it_ended",
    ),
    ("discovery.kubernetes_stateful_set", "tests/kubernetes.rs", "who_is_stopped_for_good_leaves_first_and_its_data_begin_anew"),
    ("discovery.kubernetes_sentinel", "tests/kubernetes.rs", "nothing_is_formed_anew_when_all_data_are_lost"),
    (
        "discovery.kubernetes_namespace",
        "src/discovery/sources/kubernetes_tests.rs",
        "another_namespace_than_that_of_the_account_can_be_asked_for",
    ),
    ("discovery.kubernetes_port", "src/discovery/sources/kubernetes_tests.rs", "slices_that_make_no_sense_are_told_and_the_others_count"),
    (
        "discovery.kubernetes_api",
        "src/app/options.rs",
        "every_key_of_kubernetes_reaches_the_source_and_what_is_configured_stands_above_what_a_pod_is_told",
    ),
    (
        "discovery.kubernetes_account",
        "src/discovery/sources/kubernetes_tests.rs",
        "a_token_that_was_replaced_is_used_as_soon_as_the_old_one_is_refused",
    ),
    ("auth.required", "tests/auth.rs", "the_root_token_of_a_file_does_everything_where_callers_have_to_show_who_they_are"),
    ("auth.root_token_file", "tests/auth.rs", "the_root_token_of_a_file_does_everything_where_callers_have_to_show_who_they_are"),
    ("auth.rules", "tests/auth.rs", "rules_say_what_certificates_allow"),
    ("auth.redacted_fields", "tests/api/redacting.rs", "every_answer_with_payload_hides_fields_from_those_who_do_not_administer"),
    ("auth.oidc_issuer", "tests/auth.rs", "an_identity_provider_is_asked_for_its_keys_and_again_when_it_has_others"),
    ("auth.oidc_audience", "tests/auth.rs", "an_identity_provider_is_asked_for_its_keys_and_again_when_it_has_others"),
    ("auth.oidc_name_claim", "tests/auth.rs", "an_identity_provider_is_asked_for_its_keys_and_again_when_it_has_others"),
    ("auth.oidc_jwks_file", "tests/auth.rs", "the_keys_of_an_identity_provider_can_come_from_a_file"),
    ("auth.oidc_ca", "tests/auth.rs", "an_identity_provider_is_believed_over_tls_of_the_authority_that_was_named"),
    ("security.insecure", "tests/keys/main.rs", "beyond_loopback_it_listens_only_if_that_was_said"),
    ("raft.heartbeat", "tests/consensus/three.rs", "an_idle_leader_shows_that_it_lives_as_often_as_the_options_say"),
    ("raft.election_min", "tests/consensus/three.rs", "followers_wait_for_a_silent_leader_as_long_as_the_options_say"),
    ("raft.election_max", "tests/consensus/three.rs", "followers_wait_for_a_silent_leader_as_long_as_the_options_say"),
    ("raft.batch_commands", "tests/consensus/single.rs", "what_fits_an_entry_and_what_may_wait_is_bounded_as_the_options_say"),
    ("raft.batch_bytes", "tests/consensus/single.rs", "what_fits_an_entry_and_what_may_wait_is_bounded_as_the_options_say"),
    ("raft.entries_in_flight", "tests/consensus/three.rs", "so_many_entries_are_under_way_as_the_options_say"),
    ("raft.pending_commands", "tests/consensus/single.rs", "what_fits_an_entry_and_what_may_wait_is_bounded_as_the_options_say"),
    ("raft.snapshot_every", "tests/keys/work.rs", "snapshot_points_come_and_the_log_goes_as_the_keys_say"),
    ("raft.snapshot_every_bytes", "tests/keys/work.rs", "snapshot_points_come_and_the_log_goes_as_the_keys_say"),
    ("raft.log_keep", "tests/keys/work.rs", "snapshot_points_come_and_the_log_goes_as_the_keys_say"),
    (
        "raft.log_keep_bytes",
        "tests/consensus/single.rs",
        "the_log_is_bounded_in_bytes_while_large_entries_flow_and_nothing_acknowledged_is_lost",
    ),
    ("storage.cache", "tests/storage/caches.rs", "the_cache_of_the_state_spares_reads_as_far_as_it_goes"),
    ("storage.log_cache", "tests/storage/caches.rs", "the_cache_of_the_log_spares_reads_as_far_as_it_goes"),
    ("storage.overlay", "tests/keys/work.rs", "the_state_is_flushed_when_the_keys_say"),
    ("storage.flush_interval", "tests/keys/work.rs", "the_state_is_flushed_when_the_keys_say"),
    ("storage.log_tail", "tests/storage/caches.rs", "entries_in_the_tail_are_not_read_from_the_disk"),
    ("storage.disk_reserve", "tests/keys/work.rs", "workflows_are_started_while_the_disk_has_more_room_than_the_key_says"),
    ("scheduler.lease", "tests/keys/work.rs", "a_worker_holds_as_much_and_as_long_as_the_keys_say"),
    ("scheduler.total_limit", "tests/keys/work.rs", "a_worker_holds_as_much_and_as_long_as_the_keys_say"),
    ("scheduler.node_limits", "tests/keys/work.rs", "a_worker_holds_as_much_and_as_long_as_the_keys_say"),
    ("workflow.retention", "tests/keys/main.rs", "an_ended_workflow_is_deleted_after_the_retention"),
    ("log.format", "tests/process.rs", "the_format_of_the_log_is_as_asked"),
    ("log.level", "tests/process.rs", "the_level_of_the_log_is_as_asked"),
    ("tracing.endpoint", "tests/tracing.rs", "a_workflow_is_a_span_of_its_callers_trace_at_the_collector_that_is_named"),
    ("tracing.protocol", "tests/tracing.rs", "spans_are_brought_by_the_way_that_was_said_with_the_headers_of_a_file"),
    ("tracing.headers_file", "tests/tracing.rs", "spans_are_brought_by_the_way_that_was_said_with_the_headers_of_a_file"),
    ("tracing.sample", "tests/tracing.rs", "so_many_are_traced_as_was_said_and_a_caller_decides_for_its_own"),
    ("tracing.ca", "tests/tracing.rs", "a_collector_is_believed_over_tls_of_the_authority_that_was_named"),
    ("tracing.insecure", "tests/tracing.rs", "what_makes_no_sense_is_refused_before_anything_is_opened"),
    ("shutdown.grace", "tests/keys/main.rs", "a_drain_takes_no_longer_than_its_grace"),
];

#[test]
fn every_key_has_a_test_that_shows_what_it_changes() {
    let keys: BTreeSet<String> = all_keys().into_iter().collect();
    let shown: BTreeSet<String> = SHOWN.iter().map(|(key, ..)| (*key).to_owned()).collect();
    assert_eq!(
        keys, shown,
        "left: the keys there are; right: those with a test. Write one that shows what the key changes, and a row for it"
    );
    for (key, file, test) in SHOWN {
        is_there(key, file, test);
    }
}

fn is_there(key: &str, file: &str, test: &str) {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap_or_else(|e| panic!("{key}: {file}: {e}"));
    let lines: Vec<&str> = text.lines().collect();
    let at = lines.iter().position(|line| line.trim_start().trim_start_matches("async ").starts_with(&format!("fn {test}(")));
    let attribute = at.and_then(|at| at.checked_sub(1)).map_or("", |before| lines[before].trim());
    assert!(attribute == "#[test]" || attribute.starts_with("#[tokio::test"), "{key}: {file} has no test {test}");
}

/// For each key that a running daemon takes over the file and the test in it that shows how. Those about members go over as one.
const LIVE: &[(&str, &str, &str)] = &[
    ("cluster.join", MEMBERS_FILE, MEMBERS),
    ("cluster.expected_members", MEMBERS_FILE, MEMBERS),
    ("cluster.max_voters", MEMBERS_FILE, MEMBERS),
    ("cluster.promote_after", MEMBERS_FILE, MEMBERS),
    ("cluster.replace_after", MEMBERS_FILE, MEMBERS),
    ("auth.required", AUTH_FILE, AUTH),
    ("auth.root_token_file", AUTH_FILE, AUTH),
    ("auth.rules", AUTH_FILE, AUTH),
    ("auth.redacted_fields", AUTH_FILE, "what_is_hidden_changes_when_the_configuration_is_read_again"),
    ("storage.disk_reserve", "tests/keys/main.rs", AGAIN),
    ("workflow.retention", "tests/keys/main.rs", AGAIN),
    ("log.level", "tests/process.rs", "on_sighup_it_takes_over_what_it_can_and_says_what_needs_a_restart"),
    ("shutdown.grace", "tests/keys/main.rs", "a_drain_takes_no_longer_than_its_grace"),
];
const AUTH_FILE: &str = "tests/auth.rs";
const AUTH: &str = "what_callers_are_asked_changes_when_the_configuration_is_read_again";
const MEMBERS_FILE: &str = "tests/membership.rs";
const MEMBERS: &str = "the_rules_about_members_change_when_the_configuration_is_read_again";
const AGAIN: &str = "what_is_read_again_holds_from_then_on_and_what_is_refused_changes_nothing";

#[test]
fn every_key_that_is_taken_over_without_a_restart_has_a_test_that_shows_it() {
    assert_eq!(live_keys(), LIVE.iter().map(|(key, ..)| *key).collect::<Vec<_>>());
    for (key, file, test) in LIVE {
        is_there(key, file, test);
    }
}

async fn channel(daemon: &Daemon) -> Channel {
    Endpoint::from_shared(format!("http://{}", daemon.client_address())).expect("an address").connect().await.expect("it answers")
}

async fn started(config: Config) -> Daemon {
    let daemon = Daemon::start(config).await.expect("it starts");
    daemon.ready().await.expect("it becomes ready");
    daemon
}

/// What a file says, as the daemon reads it, on a free port and in a directory of the test's.
fn said(dir: &Path, text: &str) -> Config {
    let file = dir.join("graftd.toml");
    std::fs::write(&file, text).expect("a file");
    let flags = Flags { config: Some(file), data_dir: Some(dir.join("data")), listen: Some("127.0.0.1:0".into()), ..Flags::default() };
    let mut config = load(&flags, &Sources::none()).and_then(|loaded| loaded.accepted()).unwrap_or_else(|e| panic!("{e}"));
    // However full the disk of this machine is, unless that is what is tested.
    config.storage.disk_reserve.get_or_insert(Size::from_bytes(0));
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_have_a_listener_of_their_own_where_that_was_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let probes = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let mut config = Config::in_process(dir.path());
    config.client.health_listen = Some(HostPort::loopback(probes.port()));
    let daemon = started(config).await;
    let first_line = async |path: &str| {
        let mut stream = TcpStream::connect(probes).await.expect("it listens");
        let asked = format!("GET {path} HTTP/1.1\r\nhost: probe\r\nconnection: close\r\n\r\n");
        stream.write_all(asked.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an answer");
        answer.lines().next().unwrap_or_default().to_owned()
    };
    for path in ["/livez", "/readyz?verbose", "/healthz", "/metrics"] {
        assert_eq!(first_line(path).await, "HTTP/1.1 200 OK", "{path}");
    }
    for path in ["/", "/api/v1/cluster", "/api/v1/openapi.json"] {
        assert_eq!(first_line(path).await, "HTTP/1.1 404 Not Found", "{path}: nothing else is there");
    }
    let channel = Endpoint::from_shared(format!("http://{probes}")).expect("an address").connect().await.expect("it listens");
    let status = ClusterServiceClient::new(channel).status(v1::ClusterStatusRequest {}).await.expect_err("nothing else is there");
    assert_eq!(status.code(), tonic::Code::Unimplemented, "{status:?}");
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_data_and_the_ports_are_where_they_were_said_to_be() {
    let dir = tempfile::tempdir().expect("a directory");
    let free = async || TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("bound");
    let (clients, members) = (free().await, free().await);
    let mut config = Config::default();
    config.node.data_dir = dir.path().join("said/so");
    config.client.listen = HostPort::loopback(clients.port());
    config.cluster.peer_listen = Some(HostPort::loopback(members.port()));
    config.security.insecure = true;
    let daemon = started(config).await;
    assert_eq!(daemon.client_address(), clients);
    for address in [clients, members] {
        TcpStream::connect(address).await.unwrap_or_else(|e| panic!("{address}: {e}"));
    }
    assert!(dir.path().join("said/so/state.redb").exists());
    daemon.shutdown().await;
}

/// An address that is loopback, though its text does not tell: what is looked at is the text.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_loopback_it_listens_only_if_that_was_said() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::in_process(dir.path().join("data"));
    config.client.listen = "[::ffff:127.0.0.1]:0".parse().expect("an address");
    let refused = Prepared::new(config.clone()).await.expect_err("it was not said").to_string();
    assert!(refused.contains("neither TLS nor authentication") && !dir.path().join("data").exists(), "{refused}");
    config.security.insecure = true;
    let daemon = started(config).await;
    TcpStream::connect(("127.0.0.1", daemon.client_address().port())).await.expect("it listens");
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_told_the_names_and_the_addresses_that_are_advertised() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::in_process(dir.path());
    config.node.name = Some("a-name".into());
    config.cluster.name = "a-cluster".into();
    config.client.advertise = Some("clients.example:7420".parse().expect("an address"));
    config.cluster.peer_listen = Some(HostPort::loopback(0));
    config.security.insecure = true;
    config.cluster.peer_advertise = Some("members.example:7421".parse().expect("an address"));
    let daemon = started(config).await;
    let status =
        ClusterServiceClient::new(channel(&daemon).await).status(v1::ClusterStatusRequest {}).await.expect("a status").into_inner();
    let me = &status.members[0];
    assert_eq!((me.client_address.as_str(), me.peer_address.as_str()), ("clients.example:7420", "members.example:7421"));
    assert_eq!((me.name.as_str(), status.cluster_name.as_str()), ("a-name", "a-cluster"));
    daemon.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ended_workflow_is_deleted_after_the_retention() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::in_process(dir.path());
    config.workflow.retention = Span::from_millis(1_000);
    let daemon = started(config).await;
    let mut client = WorkflowServiceClient::new(channel(&daemon).await);
    let start = |id: &str, retention_ms| {
        let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
        v1::StartRequest { workflow_id: id.into(), nodes, retention_ms, ..Default::default() }
    };
    client.start(start("by-default", 0)).await.expect("started");
    client.start(start("by-its-start", 3_600_000)).await.expect("started");
    for id in ["by-default", "by-its-start"] {
        client.terminate(v1::ControlRequest { workflow_id: id.into(), ..Default::default() }).await.expect("ended");
    }
    let begun = Instant::now();
    while client.get(v1::GetRequest { workflow_id: "by-default".into(), ..Default::default() }).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(begun.elapsed() >= Duration::from_millis(900), "deleted after {:?}", begun.elapsed());
    client.get(v1::GetRequest { workflow_id: "by-its-start".into(), ..Default::default() }).await.expect("kept, as its start said");
    daemon.shutdown().await;
}

/// A drain waits for requests that are under way, but no longer than the grace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_takes_no_longer_than_its_grace() {
    let dir = tempfile::tempdir().expect("a directory");
    let mut config = Config::in_process(dir.path());
    let daemon = started(config.clone()).await;
    config.shutdown.grace = Span::from_millis(300);
    daemon.reload(Ok(config.into())).expect("it is good");
    // A request whose message never comes: it would be waited for far longer.
    let mut grpc = Grpc::new(channel(&daemon).await);
    grpc.ready().await.expect("connected");
    let path = PathAndQuery::from_static("/graft.v1.WorkflowService/Start");
    let codec = tonic_prost::ProstCodec::<v1::StartRequest, v1::StartResponse>::default();
    let never = tokio::spawn(async move { grpc.client_streaming(Request::new(stream::pending()), path, codec).await.map(|_| ()) });
    // It has arrived when a later request on another connection has been answered.
    ClusterServiceClient::new(channel(&daemon).await).status(v1::ClusterStatusRequest {}).await.expect("a status");
    let begun = Instant::now();
    daemon.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(4), "the drain took {:?}", begun.elapsed());
    never.await.expect("no panic").expect_err("it was cut off");
    assert!(begun.elapsed() < Duration::from_secs(5), "cut after {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_read_again_holds_from_then_on_and_what_is_refused_changes_nothing() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = Config::in_process(dir.path().join("data"));
    let daemon = started(config.clone()).await;
    let mut client = WorkflowServiceClient::new(channel(&daemon).await);
    let mut later = config.clone();
    later.workflow.retention = Span::from_millis(1_000);
    later.storage.disk_reserve = Some("60000GiB".parse().expect("a size"));
    // With a key that cannot be: none of it holds.
    let mut wrong = later.clone();
    wrong.raft.heartbeat = Span::from_millis(0);
    let refused = daemon.reload(Ok(wrong.into())).expect_err("it cannot be").to_string();
    assert!(refused.contains("raft.heartbeat"), "{refused}");
    let start = |id: &str| {
        let nodes = vec![v1::NewTask { node: "nobody".into(), ..Default::default() }];
        v1::StartRequest { workflow_id: id.into(), nodes, ..Default::default() }
    };
    client.start(start("before")).await.expect("there is room");

    let keys = |changes: Vec<Change>| changes.into_iter().map(|change| (change.key, change.live)).collect::<Vec<_>>();
    later.raft.heartbeat = Span::from_millis(40);
    let changes = keys(daemon.reload(Ok(later.clone().into())).expect("it is good"));
    let of = |key: &str, live| (key.to_owned(), live);
    assert_eq!(changes, [of("raft.heartbeat", false), of("storage.disk_reserve", true), of("workflow.retention", true)]);
    work::until(&daemon, "graft_storage_starts_refused", |refused| refused == 1).await;
    later.storage.disk_reserve = config.storage.disk_reserve;
    assert_eq!(keys(daemon.reload(Ok(later.into())).expect("it is good")), [of("raft.heartbeat", false), of("storage.disk_reserve", true)]);
    work::until(&daemon, "graft_storage_starts_refused", |refused| refused == 0).await;

    client.start(start("after")).await.expect("there is room again");
    for id in ["before", "after"] {
        client.terminate(v1::ControlRequest { workflow_id: id.into(), ..Default::default() }).await.expect("ended");
    }
    let get = |id: &str| v1::GetRequest { workflow_id: id.into(), ..Default::default() };
    let begun = Instant::now();
    while client.get(get("after")).await.is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.get(get("before")).await.expect("kept, as it was said when it was started");
    daemon.shutdown().await;
}
