//! What becomes true in all workflows, as one stream.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};

use crate::here::{Here, Ran, graft, interrupt, within};
use crate::schemas::hold;

fn events(text: &str) -> Vec<Value> {
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for event in &events {
        assert_eq!(hold(event), "WorkflowEvent");
    }
    events
}

fn told(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| format!("{} {}", event["workflow_id"].as_str().unwrap(), event["type"].as_str().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_kept_is_told_from_the_beginning_and_goes_on_from_any_position() {
    let here = Here::start().await;
    for (id, node) in [("a-1", "count"), ("a-2", "fail"), ("b-1", "count")] {
        here.json(&["workflow", "start", id, "--node", node]).await;
        here.graft(&["workflow", "watch", id]).await;
    }
    here.json(&["workflow", "start", "a-1", "--node", "count", "-n", "other"]).await;
    let tell = async |flags: &[&str]| {
        let ran = here.graft(&[&["events", "-o", "jsonl"], flags].concat()).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{flags:?}");
        events(&ran.stdout)
    };
    let all = tell(&["--after", "earliest", "--limit", "10"]).await;
    let expected = [
        "a-1 started",
        "a-1 task_completed",
        "a-1 completed",
        "a-2 started",
        "a-2 task_failed",
        "a-2 task_dead_lettered",
        "a-2 failed",
        "b-1 started",
        "b-1 task_completed",
        "b-1 completed",
    ];
    assert_eq!(told(&all), expected);
    let position = all[4]["position"].as_str().unwrap();
    assert_eq!(told(&tell(&["--after", position, "--limit", "5"]).await), expected[5..]);
    let some = tell(&["--after", "earliest", "--type", "started", "--type", "failed", "--prefix", "a-", "--limit", "3"]).await;
    assert_eq!(told(&some), ["a-1 started", "a-2 started", "a-2 failed"]);
    let everywhere = tell(&["--after", "earliest", "--all-namespaces", "--type", "started", "--limit", "4"]).await;
    assert_eq!(everywhere[3]["namespace"], "other");
    let ran = here.graft(&["events", "--after", "earliest", "--type", "completed", "--idle", "500ms"]).await;
    assert_eq!((ran.code, ran.stdout.lines().count()), (0, 2), "it ends when nothing more comes: {}", ran.stdout);
    let last = ran.stderr.trim().rsplit(' ').next().unwrap();
    assert!(ran.stderr.starts_with("Go on from here with: graft events --after ") && all[9]["position"] == last, "{}", ran.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_becomes_true_is_told_when_it_does_until_ctrl_c() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "before", "--node", "nobody"]).await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_graft"));
    command.args(["--addr", &here.addr, "events", "-o", "jsonl"]).kill_on_drop(true);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    // It tells what comes after it has subscribed: workflows are started until one is told.
    let mut started = 0;
    let first = loop {
        here.json(&["workflow", "start", &format!("now-{started}"), "--node", "nobody"]).await;
        started += 1;
        tokio::select! {
            line = lines.next_line() => break line.unwrap().unwrap(),
            () = tokio::time::sleep(std::time::Duration::from_millis(20)) => assert!(started < 500, "nothing is told"),
        }
    };
    let first = &events(&first)[0];
    assert!(first["type"] == "started" && first["workflow_id"].as_str().unwrap().starts_with("now-"), "not what was before: {first}");
    interrupt(child.id().unwrap());
    let ran: Ran = within("the end after Ctrl-C", child.wait_with_output()).await.unwrap().into();
    assert_eq!(ran.code, 130);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_makes_no_sense_is_refused() {
    let here = Here::start().await;
    for (flags, code, why) in [
        (&["--type", "task_faild"][..], 2, "task_faild"),
        (&["--after", "yesterday"], 2, "[GR0024]"),
        (&["--limit", "0"], 2, "--limit"),
        (&["--idle", "0s"], 2, "longer than nothing"),
    ] {
        let ran = here.graft(&[&["events"], flags].concat()).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (code, ""), "{flags:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(why), "{flags:?}: {}", ran.stderr);
    }
    here.stop().await;
    assert_eq!(graft(&["--addr", "http://127.0.0.1:1", "--timeout", "50ms", "events"]).await.code, 6);
}
