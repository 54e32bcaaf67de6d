//! A rolling upgrade under load, from an earlier build of graftd that knows machine version 1 alone. `tests/upgrade/run` builds it from a commit
//! of this repository and names it in `GRAFT_EARLIER_BUILD`; without it the test is left out, and says so.

use std::path::PathBuf;
use std::time::Duration;

use graft_client::Client;
use graft_client::proto::ClusterStatusResponse;
use graft_tests::cluster::Cluster;
use graft_tests::load::Loading;
use graft_tests::workers::WorkerProcess;
use graft_tests::{binary, figure, wait};

/// Starts that are acknowledged in each state of the cluster, before the next change.
const IN_EACH_STATE: u64 = 300;
/// Results that are applied in each state.
const RESULTS: f64 = 300.0;
/// Longest wait for the members to tell each other something, or for one to end.
const WITHIN: Duration = Duration::from_secs(60);
/// A file of the data directory is of another version.
const EXIT_DATA: i32 = 65;

/// The cluster as its leader sees it.
async fn seen_by_the_leader(cluster: &Cluster) -> ClusterStatusResponse {
    let leader = cluster.leader().await;
    let client = Client::connect(cluster.members[leader].url().as_str()).expect("an address");
    client.cluster_status().await.expect("it answers")
}

/// Steps that all members together have applied.
fn steps(cluster: &Cluster) -> f64 {
    cluster.members.iter().map(|member| member.metric("graft_commands_total{kind=\"step\"}")).sum()
}

/// Work is started, and done, in the state that the cluster is in.
async fn works(cluster: &Cluster, loading: &Loading, state: &str) {
    let before = steps(cluster);
    loading.gets_on(IN_EACH_STATE).await;
    wait::until(&format!("steps in this state: {state}"), WITHIN, || async {
        let done = steps(cluster) - before;
        if done >= RESULTS { Ok(()) } else { Err(done) }
    })
    .await;
    let status = seen_by_the_leader(cluster).await;
    figure(format_args!("{state}: raft id {} leads in term {}, work goes on", status.leader, status.term));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_are_upgraded_under_load_one_by_one_and_then_the_machine_version_is_raised() {
    let Some(earlier) = std::env::var_os("GRAFT_EARLIER_BUILD").map(PathBuf::from) else {
        return figure("NOT RUN: there is no earlier build; tests/upgrade/run makes one and runs this");
    };
    let later = binary("graftd-under-test");
    let mut cluster = Cluster::prepare(4, "join = \"open\"\n");
    // Three form it; the fourth comes later.
    for member in &cluster.members[..3] {
        member.reconfigure(|text| text.replace("expect = 4\n", "expect = 3\n"));
    }
    cluster.members[3].reconfigure(|text| text.replace("expect = 4\n", "bootstrap = \"manual\"\n"));
    for member in &mut cluster.members[..3] {
        member.runs_instead(&earlier);
        member.start();
    }
    for member in &cluster.members[..3] {
        member.ready().await;
    }
    let urls = cluster.urls();
    let workers: Vec<WorkerProcess> = (1..=2).map(|i| WorkerProcess::start(&urls, &format!("w{i}"))).collect();
    let loading = Loading::begin(cluster.clients(), "upgrade");
    works(&cluster, &loading, "three members of the earlier build").await;

    let operator = cluster.client();
    for member in 0..3 {
        let drained = cluster.drain(member).await;
        assert!(drained.status.success(), "a drained member exits 0: {}", drained.status);
        cluster.members[member].runs_instead(&later);
        cluster.members[member].start();
        cluster.members[member].ready().await;
        works(&cluster, &loading, &format!("{} of three upgraded", member + 1)).await;
        // Whichever build leads: the later one, too.
        let names = ["m1", "m2", "m3"];
        let led = cluster.leader().await;
        let to = if led == member { (member + 1) % 3 } else { member };
        operator.transfer_leader(Some(names[to].to_owned())).await.unwrap_or_else(|error| panic!("{} takes over: {error}", names[to]));
        works(&cluster, &loading, &format!("{} of three upgraded, another one leads", member + 1)).await;
        if member == 2 {
            break;
        }
        // Whoever leads knows that one cannot follow; the earlier build does not even know the order.
        let m1 = Client::connect(cluster.members[0].url().as_str()).expect("an address");
        for (leader, why) in [("m3", "which leads, does not know this order"), ("m1", "`m3` can follow 1 at most")] {
            wait::until(&format!("{leader} to lead and refuse"), WITHIN, || async {
                // Another one may be faster, or lead before it is asked: then it is handed over again.
                let handed = operator.transfer_leader(Some(leader.to_owned())).await.map(|led| led.name);
                let refused = m1.raise_machine_version(None, false).await.expect_err("a member of the earlier build is there");
                assert!(["GR0028", "GR0010"].contains(&refused.code()), "{refused}");
                if refused.to_string().contains(why) { Ok(()) } else { Err(format!("{handed:?}: {refused}")) }
            })
            .await;
        }
        assert_eq!(m1.cluster_status().await.expect("a status").machine_version, 1);
    }

    let raised = operator.raise_machine_version(None, false).await.unwrap_or_else(|error| panic!("all can follow: {error}"));
    assert_eq!((raised.before, raised.machine_version), (1, 2));
    let again = operator.raise_machine_version(None, false).await.expect("a repeat changes nothing");
    assert_eq!(again.machine_version, 2);
    for member in &cluster.members[..3] {
        let client = Client::connect(member.url().as_str()).expect("an address");
        wait::until(&format!("{} to know the version in force", member.name), WITHIN, || async {
            let status = client.cluster_status().await.map_err(|error| error.to_string())?;
            if status.machine_version == 2 { Ok(()) } else { Err(status.machine_version.to_string()) }
        })
        .await;
    }
    wait::until("all members to have told the leader what they can follow", WITHIN, || async {
        let follows: Vec<u32> = seen_by_the_leader(&cluster).await.members.iter().map(|member| member.machine_version_max).collect();
        if follows == [2, 2, 2] { Ok(()) } else { Err(follows) }
    })
    .await;
    works(&cluster, &loading, "the machine version is raised").await;

    // The earlier build takes part no more: neither with the data of a member, nor as a new one.
    assert!(cluster.drain(2).await.status.success());
    cluster.members[2].runs_instead(&earlier);
    let (code, said) = cluster.members[2].run_to_its_end().await;
    assert!(code == Some(EXIT_DATA) && said.contains("a newer version wrote it"), "{code:?}: {said}");
    cluster.members[3].runs_instead(&earlier);
    cluster.members[3].start();
    let m4 = &cluster.members[3];
    wait::until("m4 to say why it may not join", WITHIN, || async {
        let said = m4.log();
        if said.contains("can follow machine version 1 at most, and 2 is in force here") { Ok(()) } else { Err(said) }
    })
    .await;
    assert_eq!(seen_by_the_leader(&cluster).await.members.len(), 3, "it is no member");
    cluster.members[3].kill();

    // With the later build both are welcome.
    for member in &mut cluster.members[2..] {
        member.runs_instead(&later);
        member.start();
        member.ready().await;
    }
    works(&cluster, &loading, "four members of the later build").await;
    let workflows = loading.end_and_check().await;
    figure(format_args!("{workflows} workflows were started and completed through all of it; no start failed"));
    drop(workers);
}
