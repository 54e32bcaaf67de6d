//! What goes wrong: exit codes, and words that say what to do.

use std::process::Stdio;

use tokio::io::AsyncWriteExt;

use crate::here::{Here, Ran, graft, graft_with, interrupt, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn errors_have_exit_codes_and_say_what_to_do() {
    let here = Here::start().await;
    for verb in ["get", "watch", "history", "pause", "resume", "cancel", "terminate"] {
        let ran = here.graft(&["workflow", verb, "nowhere"]).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{verb}: {}", ran.stderr);
        assert!(ran.stderr.starts_with("error: ") && ran.stderr.contains("nowhere"), "{verb}: {}", ran.stderr);
    }
    here.json(&["workflow", "start", "a", "--node", "nobody"]).await;
    let ran = here.graft(&["workflow", "start", "a", "--node", "nobody"]).await;
    assert_eq!(ran.code, 4, "{}", ran.stderr);
    let again = here.json(&["workflow", "start", "a", "--node", "nobody", "--on-conflict", "use-existing"]).await;
    assert_eq!(again["created"], false);
    let first = here.json(&["workflow", "start", "r", "--node", "nobody", "--request-id", "q-1"]).await;
    let repeat = here.json(&["workflow", "start", "r", "--node", "nobody", "--request-id", "q-1"]).await;
    assert_eq!(first["run"], repeat["run"]);

    for (state, words) in [("[1]", "no object"), ("{", "no JSON"), ("@no-such-file", "no-such-file")] {
        let ran = here.graft(&["workflow", "start", "s", "--node", "count", "--state", state]).await;
        assert_eq!(ran.code, 2, "{state}: {}", ran.stderr);
        assert!(ran.stderr.contains(words), "{state}: {}", ran.stderr);
    }
    assert_eq!(here.graft(&["workflow", "strat"]).await.code, 2);

    let ran = here.graft(&["workflow", "start", "f", "--node", "fail", "--wait"]).await;
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("no stock") && ran.stdout.contains("failed"), "{}{}", ran.stdout, ran.stderr);
    let ran = here.graft(&["workflow", "start", "w", "--node", "nobody", "--wait=50ms"]).await;
    assert_eq!(ran.code, 7, "{}", ran.stderr);
    let ran = here.graft(&["workflow", "start", "d", "--node", "nobody", "--deadline", "50ms", "--wait"]).await;
    assert_eq!(ran.code, 12, "{}", ran.stderr);
    here.stop().await;
}

#[tokio::test]
async fn no_server_is_exit_code_6_and_says_how_to_start_one() {
    let ran = graft(&["--addr", "http://127.0.0.1:1", "--timeout", "50ms", "workflow", "list"]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (6, ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("http://127.0.0.1:1") && ran.stderr.contains("graft dev"), "{}", ran.stderr);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_words_of_a_node_cannot_steer_the_terminal() {
    let here = Here::start().await;
    let ran = here.graft(&["workflow", "start", "p", "--node", "paint", "--wait"]).await;
    assert_eq!(ran.code, 10, "{}", ran.stderr);
    assert!(ran.stderr.contains("\\u{1b}[2Jred\\u{7}") && ran.stderr.contains("\\u{9b}31mblue"), "{}", ran.stderr);
    for verb in ["get", "history", "watch"] {
        let shown = here.graft(&["workflow", verb, "p"]).await;
        for text in [&ran.stderr, &shown.stdout, &shown.stderr] {
            assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{verb}: {text:?}");
        }
    }
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_and_a_wait_exit_with_how_the_workflow_ended() {
    let here = Here::start().await;
    for (id, node, more, code) in [
        ("done", "count", &[][..], 0),
        ("failed", "fail", &[], 10),
        ("terminated", "nobody", &[], 11),
        ("cancelled", "nobody", &[], 11),
        ("late", "nobody", &["--deadline", "50ms"], 12),
    ] {
        here.json(&[&["workflow", "start", id, "--node", node], more].concat()).await;
        match id {
            "terminated" => drop(here.json(&["workflow", "terminate", id]).await),
            "cancelled" => drop(here.json(&["workflow", "cancel", id]).await),
            _ => {}
        }
        let watched = here.graft(&["workflow", "watch", id]).await;
        let in_json = here.graft(&["workflow", "watch", id, "-o", "json"]).await;
        let waited = here.graft(&["workflow", "start", id, "--node", node, "--on-conflict", "use-existing", "--wait"]).await;
        for ran in [&watched, &in_json, &waited] {
            assert_eq!(ran.code, code, "{id}: {}{}", ran.stdout, ran.stderr);
        }
        assert!(watched.stdout.lines().count() >= 2, "{id}: the events are told all the same: {}", watched.stdout);
        let told = watched.stderr.contains(&format!("workflow \"{id}\" ended as "));
        assert_eq!(told, code > 0, "{id}: {}", watched.stderr);
    }
    here.stop().await;
}

#[tokio::test]
async fn an_address_that_is_none_is_a_mistake_of_the_command_line() {
    for verb in [&["bench"][..], &["workflow", "list"], &["cluster", "status"]] {
        for (flag, variable) in [(Some(""), None), (Some(" , "), None), (None, Some(""))] {
            let words = [flag.map_or(Vec::new(), |addr| vec!["--addr", addr]), verb.to_vec()].concat();
            let ran = graft_with(&words, &[("GRAFT_ADDR", variable)]).await;
            assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words:?}: {}", ran.stderr);
            assert!(ran.stderr.contains("--addr") && ran.stderr.contains("GRAFT_ADDR"), "{words:?}: {}", ran.stderr);
        }
    }
}

#[tokio::test]
async fn a_wait_of_nothing_is_refused() {
    let ran = graft(&["workflow", "start", "a", "--node", "count", "--wait=0s"]).await;
    assert_eq!(ran.code, 2, "{}", ran.stderr);
    assert!(ran.stderr.contains("--wait"), "{}", ran.stderr);
}

#[tokio::test]
async fn a_name_that_is_empty_is_refused_before_anything_is_sent() {
    for words in [&["workflow", "start", "", "--node", "a"][..], &["-n", "", "workflow", "list"]] {
        let ran = graft(words).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words:?}: {}", ran.stderr);
        assert!(ran.stderr.contains("is a variable of the shell"), "{words:?}: {}", ran.stderr);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_repeated_request_is_answered_with_the_first_answer_even_if_the_server_made_the_id() {
    let here = Here::start().await;
    let start = ["workflow", "start", "--node", "nobody", "--request-id", "q-7"];
    let first = here.json(&start).await;
    let repeat = here.json(&start).await;
    assert_eq!((&first["workflow_id"], &first["run"]), (&repeat["workflow_id"], &repeat["run"]));
    let other = here.graft(&[&start[..], &["--label", "a=b"]].concat()).await;
    assert_eq!(other.code, 4, "the same id for another request: {}", other.stderr);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ctrl_c_ends_a_start_that_waits_for_its_state() {
    let here = Here::start().await;
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_graft"));
    command.args(["--addr", &here.addr, "workflow", "start", "a", "--node", "count", "--state", "-"]).kill_on_drop(true);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // More than a pipe holds: when it is written, it is being read.
    within("stdin to be read", stdin.write_all(&[b' '; 1 << 20])).await.unwrap();
    interrupt(child.id().unwrap());
    let ran: Ran = within("the end after Ctrl-C", child.wait_with_output()).await.unwrap().into();
    assert_eq!((ran.code, ran.stdout.as_str()), (130, ""), "{}", ran.stderr);
    drop(stdin);
    here.stop().await;
}
