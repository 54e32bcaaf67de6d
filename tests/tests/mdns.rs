//! Members on different machines that know nothing of each other but the name of their cluster: multicast DNS on one bridge.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use graft_proto::peer_identity::MemberIdentity;
use graft_tests::bridge::{Bridge, Machine};
use graft_tests::{binary, figure, http, left_out, wait};
use graftd::tls::authority::{Authority, CERTIFICATE_DAYS, Subject};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

/// Longest formation on a machine that has other things to do.
const FORMED_WITHIN: Duration = Duration::from_secs(90);
const CLIENT: &str = "127.0.0.1:7420";
const CANDIDATES: &str = "graft_discovery_candidates{provider=\"mdns\"}";
const STRANGERS: &str = "graft_discovery_rejected_peers_total{reason=\"cluster_name\"}";

/// A member on a machine of its own. Ended by its process id when it is dropped, before the machine goes.
struct Member {
    machine: Machine,
    log: PathBuf,
    process: Child,
}

impl Member {
    /// Starts a member that has nothing to find others by but mDNS.
    fn start(dir: &TempDir, machine: &Machine, cluster: &str, name: &str, authority: &(Authority, String)) -> Self {
        let dir = dir.path().join(cluster).join(name);
        fs::create_dir_all(&dir).expect("a folder");
        let issued = authority
            .0
            .issue(&Subject::member(&MemberIdentity { cluster: cluster.into(), member: name.into() }), CERTIFICATE_DAYS)
            .expect("a certificate");
        for (file, text) in [("ca.pem", &authority.1), ("member.pem", &issued.cert), ("member.key", &issued.key)] {
            fs::write(dir.join(file), text).expect("a file");
        }
        let config = format!(
            "[node]\nname = {name:?}\ndata_dir = \"data\"\n[client]\nlisten = {CLIENT:?}\n\
             [cluster]\nname = {cluster:?}\nexpect = 3\npeer_listen = \"{}:7421\"\n\
             peer_ca = \"ca.pem\"\npeer_cert = \"member.pem\"\npeer_key = \"member.key\"\n[discovery]\nmdns = true\n",
            machine.ip
        );
        fs::write(dir.join("graftd.toml"), config).expect("the configuration");
        let log = dir.join("graftd.log");
        let output = File::create(&log).expect("the log");
        let mut command = machine.command(binary("graftd-under-test"));
        command.args(["--config", "graftd.toml"]).current_dir(&dir).stdin(Stdio::null());
        let process = command.stdout(output.try_clone().expect("the log")).stderr(output).spawn().expect("graftd starts");
        Self { machine: machine.clone(), log, process }
    }

    fn get(&self, path: &str) -> std::io::Result<(u16, String)> {
        self.machine.on(|| http::get(CLIENT, path))
    }

    fn metric(&self, name: &str) -> f64 {
        self.machine.on(|| http::metrics(CLIENT, [name])).map_or(f64::NAN, |[value]| value)
    }

    async fn ready(&self) {
        wait::until(&format!("the member at {} to be ready", self.machine.ip), FORMED_WITHIN, || async {
            match self.get("/readyz") {
                Ok((200, _)) => Ok(()),
                other => Err(other),
            }
        })
        .await;
    }

    /// The id of its cluster, and where the members of it are.
    fn cluster(&self) -> (String, BTreeSet<String>) {
        let (_, text) = self.get("/api/v1/cluster").expect("it answers");
        let status: serde_json::Value = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        let addresses =
            status["members"].as_array().expect("members").iter().map(|member| member["peer_address"].as_str().expect("text").into());
        (status["cluster_id"].as_str().expect("an id").to_owned(), addresses.collect())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            let log = fs::read_to_string(&self.log).unwrap_or_default();
            eprintln!("--- {} ---\n{}", self.log.display(), log.lines().rev().take(20).collect::<Vec<_>>().join("\n"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_form_on_one_bridge_by_mdns_alone_and_do_not_mix() {
    if left_out(Bridge::possible()) {
        return;
    }
    let (bridge, dir) = (Bridge::with(6), tempfile::tempdir().expect("a directory"));
    // One authority for both: it is the name that keeps them apart, and what is announced of it.
    let (authority, issued) = Authority::create("both").expect("an authority");
    let authority = (authority, issued.cert);
    let names = ["m1", "m2", "m3"];
    let begun = Instant::now();
    let start = |cluster: &str, machines: &[Machine]| -> Vec<Member> {
        machines.iter().zip(names).map(|(machine, name)| Member::start(&dir, machine, cluster, name, &authority)).collect()
    };
    let mut ours = start("ours", &bridge.machines()[..3]);
    let theirs = start("theirs", &bridge.machines()[3..]);
    for member in ours.iter().chain(&theirs) {
        member.ready().await;
    }
    figure(format_args!("two clusters of three were ready {} ms after their start", begun.elapsed().as_millis()));
    let mut ids = BTreeSet::new();
    for (members, machines) in [(&ours, &bridge.machines()[..3]), (&theirs, &bridge.machines()[3..])] {
        let expected: BTreeSet<String> = machines.iter().map(|machine| format!("{}:7421", machine.ip)).collect();
        let told: Vec<_> = members.iter().map(Member::cluster).collect();
        for (id, addresses) in &told {
            assert_eq!((id, addresses), (&told[0].0, &expected));
        }
        ids.insert(told[0].0.clone());
    }
    assert_eq!(ids.len(), 2, "one id for each cluster: {ids:?}");
    // Each sees all six, and has three of them for strangers.
    for member in ours.iter().chain(&theirs) {
        wait::until("all six to be seen", FORMED_WITHIN, || async {
            let seen = (member.metric(CANDIDATES), member.metric(STRANGERS));
            if seen == (3.0, 3.0) { Ok(()) } else { Err(seen) }
        })
        .await;
    }

    // Who drains takes back what it announced; and stays a member, since absence removes nobody.
    let mut gone = ours.pop().expect("three");
    kill(Pid::from_raw(gone.process.id() as i32), Signal::SIGTERM).expect("our own child takes a signal");
    let status = gone.process.wait().expect("our own child");
    assert!(status.success(), "{status}");
    for member in &ours {
        wait::until("the goodbye to be heard", FORMED_WITHIN, || async {
            let seen = member.metric(CANDIDATES);
            if seen == 2.0 { Ok(()) } else { Err(seen) }
        })
        .await;
        assert_eq!(member.cluster().1.len(), 3);
    }
    drop((gone, ours, theirs));
}
