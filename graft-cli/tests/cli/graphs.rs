//! Graphs of workflows that ran.

use crate::here::Here;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_graph_has_four_forms() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "wide", "--wait"]).await;
    let graph = async |words: &[&str]| {
        let ran = here.graft(&[&["workflow", "graph", "a"], words].concat()).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{words:?}");
        ran.stdout
    };
    let tree = graph(&[]).await;
    assert!(tree.contains("✓ wide #1") && tree.contains("└─ ✓ count ×20") && tree.lines().count() == 4, "{tree}");
    let unfolded = graph(&["--unfold", "count"]).await;
    assert_eq!(unfolded.lines().count(), 23, "{unfolded}");
    assert_eq!(graph(&["--unfold", "all"]).await.lines().count(), 23);
    let mermaid = graph(&["--format", "mermaid"]).await;
    assert!(mermaid.contains("flowchart TD") && mermaid.contains("count ×20<br/>20 done"), "{mermaid}");
    let dot = graph(&["--format", "dot"]).await;
    assert!(dot.starts_with("digraph \"a\" {") && dot.contains("count ×20\\n20 done") && dot.ends_with("}\n"), "{dot}");
    let json = here.json(&["workflow", "graph", "a"]).await;
    assert_eq!((&json["kind"], &json["status"], &json["groups"][1]["tasks"]), (&"WorkflowGraph".into(), &"completed".into(), &20.into()));
    assert_eq!(graph(&["-o", "name"]).await, "count\nwide\n");
    assert_eq!(here.graft(&["workflow", "graph", "nowhere"]).await.code, 3);
    here.stop().await;
}

/// As many tasks as one step may start.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_run_of_ten_thousand_tasks_is_a_few_lines_and_all_of_them_on_demand() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "crowd", "--wait=5m"]).await;
    let graph = async |words: &[&str]| {
        let ran = here.graft(&[&["workflow", "graph", "a"], words].concat()).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{words:?}");
        ran.stdout
    };
    let tree = graph(&[]).await;
    assert!(tree.contains("10,000 of 10,000 tasks done") && tree.contains("✓ noop ×9,998") && tree.lines().count() == 4, "{tree}");
    assert!(graph(&["--format", "mermaid"]).await.lines().count() < 20 && graph(&["--format", "dot"]).await.lines().count() < 20);
    assert_eq!(graph(&["--unfold", "noop"]).await.lines().count(), 10_001);
    let json = here.json(&["workflow", "graph", "a"]).await;
    assert_eq!((&json["groups"][1]["node"], &json["groups"][1]["tasks"]), (&"noop".into(), &9_998.into()));
    let watched = here.graft(&["workflow", "watch", "a", "-o", "jsonl"]).await;
    assert_eq!((watched.code, watched.stdout.lines().count()), (0, 10_003), "started, 10,000 tasks, a join, completed");
    here.stop().await;
}
