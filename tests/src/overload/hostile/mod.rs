//! Hostile traffic: how much of the goodput is left beside connections that mean harm.
//!
//! Clients that each start a workflow and wait for its end are measured alone, then beside each kind of hostile connection, then beside all kinds at
//! once, then alone again: goodput beside is compared with the lower of the two alone, all in one run. The hostile connections are those of a process of its own
//! on the other core, which takes no time that the clients want; each kind has a bound of what it does in a second, and opens its connections anew when they
//! are closed. What a kind has done is counted, so that one that was shut out at once can be told from one that did its worst.
//!
//! - [`kinds`] says what they do;
//! - [`wire`] has the bytes that no library would send.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use graft_client::{Client, Next, StartWorkflow};
use graft_proto::peer_identity::MemberIdentity;
use graftd::tls::authority::{Authority, CERTIFICATE_DAYS, Subject};
use serde_json::{Value, json};

use super::{Found, Size, beside, memory, pinned, yielding};
use crate::cluster::Cluster;
use crate::member::free_port;
use crate::workers::{ChainConfig, WorkerProcess};
use crate::{command, http};

pub mod kinds;
pub mod wire;

use kinds::{KINDS, Targets};

/// Steps of a workflow.
const STEPS: u32 = 3;
/// Workflows that are in flight while goodput is measured.
const LANES: usize = 64;
/// Least goodput beside all kinds, in hundredths of that alone.
const RATIO_MIN: u64 = 70;
/// Workflows that lists show, each with a state that makes a page large.
const LISTED: u64 = 1_000;
/// Bytes of the state of each.
const STATE_BYTES: usize = 2 << 10;
/// Most memory of the member, in bytes.
const MEMORY_MAX: u64 = 1 << 30;
/// Longest time of a question about health while it lasts.
const HEALTH_WITHIN: Duration = Duration::from_secs(1);
/// Questions about health in a phase.
const QUESTIONS: u32 = 10;

/// What clients got done.
struct Goodput {
    per_s: u64,
    /// Starts and waits that failed, though the client had repeated them.
    failed: u64,
}

/// What `LANES` clients complete in this time. Ids begin with `prefix`.
async fn goodput(client: &Client, prefix: &str, time: Duration) -> Goodput {
    let [number, done, failed] = [(); 3].map(|()| Arc::new(AtomicU64::new(0)));
    let stop = Arc::new(AtomicBool::new(false));
    let lanes: Vec<_> = (0..LANES)
        .map(|_| {
            let (client, prefix, stop) = (client.clone(), prefix.to_owned(), stop.clone());
            let (number, done, failed) = (number.clone(), done.clone(), failed.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let id = format!("{prefix}-{}", number.fetch_add(1, Ordering::Relaxed));
                    let started = client.start(id.as_str()).node(Next::named("chain", ChainConfig { left: STEPS - 1 })).await;
                    let ended = match started {
                        Ok(_) => client.workflow(&id).wait().await.map(drop),
                        Err(error) => Err(error),
                    };
                    if let Err(error) = ended {
                        eprintln!("    {error}");
                        failed.fetch_add(1, Ordering::Relaxed);
                    } else {
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(time / 4).await;
    let (before, began) = (done.load(Ordering::Relaxed), Instant::now());
    tokio::time::sleep(time * 3 / 4).await;
    let per_s = (done.load(Ordering::Relaxed) - before) * 1_000 / (began.elapsed().as_millis() as u64).max(1);
    stop.store(true, Ordering::Relaxed);
    for lane in lanes {
        lane.await.expect("no panic");
    }
    Goodput { per_s, failed: failed.load(Ordering::Relaxed) }
}

/// Goodput beside a process with these kinds of hostile connections, and what they did.
async fn goodput_beside(client: &Client, targets: &Targets, kinds: &str, time: Duration) -> (Goodput, BTreeMap<String, u64>) {
    let mut hostile = command("overload");
    hostile.args(["hostile", kinds, &targets.clients, &targets.members, &time.as_millis().to_string()]);
    hostile.stdin(Stdio::null()).stdout(Stdio::piped());
    let hostile = beside(|| yielding(|| hostile.spawn())).expect("it starts");
    let ended = tokio::task::spawn_blocking(move || hostile.wait_with_output());
    let goodput = goodput(client, &format!("beside-{kinds}"), time).await;
    let output = ended.await.expect("no panic").expect("our own child can be waited for");
    let counts = serde_json::from_slice(&output.stdout).expect("it says what it did");
    (goodput, counts)
}

/// The main of that process: `hostile KINDS CLIENTS MEMBERS MILLISECONDS`.
///
/// # Errors
/// If it was called otherwise.
pub async fn main(words: &[String]) -> Result<(), String> {
    let [kinds, clients, members, ms] = words else { return Err("hostile needs KINDS CLIENTS MEMBERS MILLISECONDS".to_owned()) };
    let time = Duration::from_millis(ms.parse().map_err(|error| format!("{ms}: {error}"))?);
    let targets = Targets { clients: clients.clone(), members: members.clone() };
    let counts = kinds::run(kinds, &targets, time).await?;
    println!("{}", serde_json::to_string(&counts).expect("counts are JSON"));
    Ok(())
}

/// A cluster of one that also listens for members, over TLS: there handshakes can be begun and not ended.
fn with_peers(dir: &Path, port: u16) -> String {
    let (cluster, member) = ("hostile".to_owned(), "m1".to_owned());
    let (authority, ca) = Authority::create(&cluster).expect("an authority");
    let issued =
        authority.issue(&Subject::member(&MemberIdentity { cluster: cluster.clone(), member }), CERTIFICATE_DAYS).expect("a certificate");
    let files = [("peer_ca", "ca.pem", ca.cert), ("peer_cert", "member.pem", issued.cert), ("peer_key", "member.key", issued.key)].map(
        |(key, file, text)| {
            fs::write(dir.join(file), text).expect("a file");
            format!("{key} = {:?}\n", dir.join(file))
        },
    );
    format!("\n[cluster]\nname = {cluster:?}\nexpect = 1\npeer_listen = \"127.0.0.1:{port}\"\n{}", files.concat())
}

/// Asks the member how it is, some times in this time; how many of the answers came too late, or not.
async fn health(address: String, time: Duration) -> u64 {
    let mut late = 0;
    for _ in 0..QUESTIONS {
        tokio::time::sleep(time / QUESTIONS).await;
        let (asked, address) = (Instant::now(), address.clone());
        let answer = tokio::task::spawn_blocking(move || http::get(&address, "/readyz")).await.expect("no panic");
        late += u64::from(!matches!(answer, Ok((200, _))) || asked.elapsed() > HEALTH_WITHIN);
    }
    late
}

/// See the module.
pub async fn run(size: Size) -> Found {
    let mut found = Found::default();
    let (dir, port) = (tempfile::tempdir().expect("a temporary directory"), free_port());
    let mut cluster = Cluster::prepare(1, &with_peers(dir.path(), port));
    pinned(|| cluster.members[0].start());
    let member = &cluster.members[0];
    member.ready().await;
    let pid = member.process_id().expect("it runs");
    let targets = Targets { clients: member.client_address.clone(), members: format!("127.0.0.1:{port}") };
    let client = Client::connect(member.url().as_str()).expect("an address");
    let _workers: Vec<WorkerProcess> = pinned(|| (1..=2).map(|i| WorkerProcess::start(&member.url(), &format!("w{i}"))).collect());

    let listed = (0..LISTED).map(|number| {
        let start = StartWorkflow::new(format!("listed-{number}")).node(Next::named("nobody", ())).label("kind", "listed");
        start.state(&json!({ "text": "x".repeat(STATE_BYTES) })).expect("a state")
    });
    for answer in client.start_many(listed).await.expect("the server takes them") {
        answer.expect("it is started");
    }

    let (whole, part) = (size.phase / 2, size.phase / 6);
    let before = goodput(&client, "before", whole).await;
    found.figure("memory_alone_bytes", memory(pid).0);
    let mut each: BTreeMap<&str, Value> = BTreeMap::new();
    for kind in KINDS {
        let (beside, counts) = goodput_beside(&client, &targets, kind, part).await;
        let done = counts.get(kind).copied().unwrap_or(0);
        let row = json!({ "goodput_workflows_per_s": beside.per_s, "percent": beside.per_s * 100 / before.per_s.max(1), "done": done });
        eprintln!("    {kind}: {row}");
        each.insert(kind, row);
        found.must(done > 0, format!("{kind} did nothing"));
        found.must(beside.failed == 0, format!("{} of the clients' calls failed beside {kind}", beside.failed));
    }
    let questions = tokio::spawn(health(member.client_address.clone(), whole));
    let (beside, counts) = goodput_beside(&client, &targets, "all", whole).await;
    let late = questions.await.expect("no panic");
    let after = goodput(&client, "after", whole).await;

    let alone = before.per_s.min(after.per_s);
    found.figure("goodput_alone", alone);
    found.figure("goodput_beside_hostile", beside.per_s);
    found.figure("ratio", beside.per_s as f64 / alone.max(1) as f64);
    found.figure("hostile", serde_json::to_value(counts).expect("counts are JSON"));
    found.figure("beside_each_kind", serde_json::to_value(each).expect("figures are JSON"));
    found.figure("health_late_or_wrong", late);
    found.figure("memory_max_bytes", memory(pid).1);
    found.bound(
        beside.per_s * 100 >= alone * RATIO_MIN,
        format!("goodput beside hostile traffic is {}/s, below {RATIO_MIN} % of {alone}/s", beside.per_s),
    );
    found.bound(memory(pid).1 <= MEMORY_MAX, format!("the member took {} bytes, at most {MEMORY_MAX} are allowed", memory(pid).1));
    found.bound(late == 0, format!("{late} of {QUESTIONS} questions about health were answered late or wrongly"));
    for (when, failed) in [("before", before.failed), ("beside all", beside.failed), ("after", after.failed)] {
        found.must(failed == 0, format!("{failed} of the clients' calls failed {when}"));
    }
    found
}
