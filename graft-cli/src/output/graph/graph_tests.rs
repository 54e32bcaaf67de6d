//! What graphs look like: events in, text out.

use graft_client::proto::event::{self, Happened};
use graft_client::proto::{CreatedTask, Event, OnExhausted, OpenedScope, on_exhausted};

use super::super::json::GraphJson;
use super::super::{Folding, dot, mermaid};
use super::*;
use crate::cli::value::Unfold;
use crate::output::progress::Progress;

/// Events that happen one second apart, the first at second 1.
#[derive(Default)]
struct Story {
    progress: Progress,
    time_ms: u64,
}

impl Story {
    fn then(&mut self, happened: Happened) -> &mut Self {
        self.time_ms += 1_000;
        self.progress.take(&Event { time_ms: self.time_ms, happened: Some(happened), ..Event::default() });
        self
    }

    fn started(created: Vec<CreatedTask>) -> Self {
        let mut story = Self::default();
        story.then(Happened::Started(event::Started { created, ..Default::default() }));
        story
    }

    fn done(&mut self, task: u32, created: Vec<CreatedTask>) -> &mut Self {
        self.then(Happened::TaskCompleted(event::TaskCompleted { task, attempt: 1, created, execution_us: 2_500, ..Default::default() }))
    }

    fn fanned_out(&mut self, task: u32, scope: u32, join: &str, created: Vec<CreatedTask>) -> &mut Self {
        let opened = vec![OpenedScope { scope, parent: 0, continuation: join.into() }];
        let done = event::TaskCompleted { task, attempt: 1, created, opened, execution_us: 2_500, ..Default::default() };
        self.then(Happened::TaskCompleted(done))
    }

    fn closed(&mut self, scope: u32, continuation: CreatedTask) -> &mut Self {
        self.then(Happened::ScopeClosed(event::ScopeClosed { scope, continuation: Some(continuation) }))
    }

    fn drawn(&self) -> String {
        self.drawn_with(&[])
    }

    fn drawn_with(&self, unfold: &[Unfold]) -> String {
        let lines = lines("order-1", &self.graph(unfold));
        lines.iter().map(|line| line.render(false)).collect::<Vec<_>>().join("\n")
    }

    fn graph(&self, unfold: &[Unfold]) -> Graph<'_> {
        Graph::of(&self.progress, &Folding::new(unfold), self.time_ms)
    }
}

fn task(task: u32, node: &str, scope: u32) -> CreatedTask {
    CreatedTask { task, node: node.into(), scope, ..CreatedTask::default() }
}

#[test]
fn a_chain_stays_in_its_column() {
    let mut story = Story::started(vec![task(1, "validate", 0)]);
    story.done(1, vec![task(2, "charge", 0)]).done(2, vec![task(3, "ship", 0)]);
    assert_eq!(
        story.drawn(),
        "\
order-1  running  2.0s  2 of 3 tasks done
✓ validate #1  2ms
✓ charge #2  2ms
● ship #3  0ms"
    );
}

#[test]
fn a_fan_out_branches_and_its_join_goes_on_in_the_same_column() {
    let mut story = Story::started(vec![task(1, "plan", 0)]);
    story.fanned_out(1, 7, "ship", vec![task(2, "pick", 7), task(3, "pack", 7)]);
    story.done(2, vec![task(4, "weigh", 7)]);
    assert_eq!(
        story.drawn(),
        "\
order-1  running  2.0s  2 of 4 tasks done
✓ plan #1  2ms
├─ ✓ pick #2  2ms
│  ● weigh #4  0ms
└─ ● pack #3  1.0s
⋈ ship  waits for 2 of 3"
    );
    story.done(3, vec![]).done(4, vec![]).closed(7, task(5, "ship", 0)).done(5, vec![]);
    story.then(Happened::Completed(event::Ended::default()));
    assert_eq!(
        story.drawn(),
        "\
order-1  completed  7.0s  5 of 5 tasks done
✓ plan #1  2ms
├─ ✓ pick #2  2ms
│  ✓ weigh #4  2ms
└─ ✓ pack #3  2ms
✓ ship #5  2ms"
    );
}

#[test]
fn fan_outs_beside_a_plain_successor_are_branches_of_their_own() {
    let mut story = Story::started(vec![task(1, "plan", 0)]);
    let opened = vec![OpenedScope { scope: 7, parent: 0, continuation: "ship".into() }];
    let created = vec![task(2, "audit", 0), task(3, "pick", 7), task(4, "pick", 7)];
    story.then(Happened::TaskCompleted(event::TaskCompleted { task: 1, created, opened, execution_us: 900, ..Default::default() }));
    assert_eq!(
        story.drawn(),
        "\
order-1  running  1.0s  1 of 4 tasks done
✓ plan #1  900µs
├─ ● audit #2  0ms
└─ fan-out
   ├─ ● pick #3  0ms
   └─ ● pick #4  0ms
   ⋈ ship  waits for 2 of 2"
    );
}

#[test]
fn whatever_a_task_waits_for_is_said() {
    let delayed = CreatedTask { not_before_ms: 9_000, ..task(2, "remind", 0) };
    let mut story = Story::started(vec![task(1, "charge", 0), delayed, task(3, "ship", 0), task(4, "bill", 0)]);
    let failed = |task, retry_at_ms| {
        Happened::TaskFailed(event::TaskFailed { task, attempt: 2, message: "no\nstock".into(), retry_at_ms, ..Default::default() })
    };
    story.then(failed(1, 6_000)).then(Happened::TaskBlocked(event::TaskBlocked { task: 3, ..Default::default() })).then(failed(4, 0));
    let then = Some(OnExhausted { then: Some(on_exhausted::Then::ErrorNode("apologise".into())) });
    let error_task = Some(task(5, "apologise", 0));
    story.then(Happened::TaskDeadLettered(event::TaskDeadLettered {
        task: 4,
        error: "no card".into(),
        then,
        error_task,
        ..Default::default()
    }));
    assert_eq!(
        story.drawn(),
        "\
order-1  running  4.0s  0 of 5 tasks done
├─ ↻ charge #1  attempt 2 failed, again in 1.0s: no
├─ ◷ remind #2  in 4.0s
├─ ‖ ship #3  waits for a change of the state
└─ ✗ bill #4  given up after 2 attempts: no card
   ● apologise #5  0ms"
    );
    story.then(Happened::Terminated(event::Ended { reason: "stuck".into(), task: 0 }));
    assert_eq!(
        story.drawn(),
        "\
order-1  terminated  5.0s  0 of 5 tasks done  stuck
├─ – charge #1  left
├─ – remind #2  left
├─ – ship #3  left
└─ ✗ bill #4  given up after 2 attempts: no card
   – apologise #5  left"
    );
}

/// A fan-out of ten thousand: most are done, some wait, one says why.
fn ten_thousand() -> Story {
    let mut story = Story::started(vec![task(1, "plan", 0)]);
    story.fanned_out(1, 7, "ship", (2..10_002).map(|number| task(number, "pick", 7)).collect());
    for number in 2..9_814 {
        story.done(number, vec![]);
    }
    let failed = |task| event::TaskFailed { task, attempt: 1, message: "no stock".into(), retry_at_ms: u64::MAX, ..Default::default() };
    for number in 9_814..9_990 {
        story.then(Happened::TaskFailed(failed(number)));
    }
    for task in 9_990..9_999 {
        story.then(Happened::TaskBlocked(event::TaskBlocked { task, ..Default::default() }));
    }
    story.time_ms = 62_000;
    story
}

#[test]
fn ten_thousand_siblings_fold_into_one_line_with_counts() {
    assert_eq!(
        ten_thousand().drawn(),
        "\
order-1  running  1m01s  9,813 of 10,001 tasks done
✓ plan #1  2ms
└─ ● pick ×10,000  9,812 done  3 ready  176 retrying  9 blocked  2ms each  such as #9814: no stock
⋈ ship  waits for 188 of 10,000"
    );
}

#[test]
fn a_node_is_unfolded_on_demand_and_then_as_a_whole() {
    let story = ten_thousand();
    let drawn = story.drawn_with(&[Unfold::Node("pick".into())]);
    assert_eq!(drawn.lines().count(), 10_003);
    assert!(drawn.contains("\n├─ ✓ pick #2  2ms\n") && drawn.contains("\n└─ ● pick #10001  "), "every one of them has a line");
    assert_eq!(story.drawn_with(&[Unfold::All]), drawn);
    assert_eq!(story.drawn_with(&[Unfold::Node("ship".into())]), story.drawn(), "what is not folded cannot be unfolded");
}

#[test]
fn ten_thousand_tasks_are_folded_in_time_proportional_to_their_number() {
    let steps = |tasks: u32| {
        let mut story = Story::started(vec![task(1, "plan", 0)]);
        story.fanned_out(1, 7, "ship", (2..tasks + 2).map(|number| task(number, "pick", 7)).collect());
        for number in 2..tasks + 2 {
            story.done(number, vec![task(number + tasks, "pack", 7)]);
        }
        let graph = story.graph(&[]);
        (graph.groups.len(), graph.groups.iter().map(|group| group.tasks).sum::<usize>(), story.drawn().len())
    };
    let (few, much) = (steps(100), steps(10_000));
    assert_eq!((few.0, much.0), (3, 3), "as many groups, however many tasks");
    assert_eq!((few.1, much.1), (201, 20_001), "every task is in one group");
    assert!(much.2 < few.2 + 40, "the picture grows by a few digits only");
}

#[test]
fn what_follows_alike_is_folded_alike() {
    let mut story = Story::started(vec![task(1, "plan", 0)]);
    story.fanned_out(1, 7, "", (2..8).map(|number| task(number, "pick", 7)).collect());
    for number in 2..8 {
        story.done(number, vec![task(number + 10, "pack", 7)]);
    }
    assert_eq!(
        story.drawn(),
        "\
order-1  running  7.0s  7 of 13 tasks done
✓ plan #1  2ms
└─ ✓ pick ×6  2ms each
   ● pack ×6  6 ready"
    );
}

#[test]
fn under_tasks_that_are_not_folded_each_has_its_own_fold() {
    let mut story = Story::started(vec![task(1, "north", 0), task(2, "south", 0)]);
    story.fanned_out(1, 7, "sum", (10..20).map(|number| task(number, "pick", 7)).collect());
    story.fanned_out(2, 8, "sum", (20..25).map(|number| task(number, "pick", 8)).collect());
    for number in 10..20 {
        story.done(number, vec![]);
    }
    story.closed(7, task(30, "sum", 0));
    assert_eq!(
        story.drawn(),
        "\
order-1  running  13.0s  12 of 18 tasks done
├─ ✓ north #1  2ms
│  └─ ✓ pick ×10  2ms each
│  ● sum #30  0ms
└─ ✓ south #2  2ms
   └─ ● pick ×5  5 ready
   ⋈ sum  waits for 5 of 5"
    );
}

#[test]
fn a_loop_of_many_rounds_is_as_long_as_one() {
    let mut story = Story::started(vec![task(1, "count", 0)]);
    for number in 1..10_000 {
        story.done(number, vec![task(number + 1, "count", 0)]);
    }
    assert_eq!(
        story.drawn(),
        "\
order-1  running  2h46m  9,999 of 10,000 tasks done
● count ×10,000  ↺ ×9,999  9,999 done  1 ready  2ms each"
    );
}

#[test]
fn a_chain_that_goes_back_and_forth_is_folded_too() {
    let mut story = Story::started(vec![task(1, "ask", 0)]);
    for number in 1..10_000 {
        story.done(number, vec![task(number + 1, if number % 2 == 0 { "ask" } else { "answer" }, 0)]);
    }
    assert_eq!(
        story.drawn(),
        "\
order-1  running  2h46m  9,999 of 10,000 tasks done
✓ ask ×5,000  2ms each
● answer ×5,000  4,999 done  1 ready  2ms each
↺ ask  again ×4,999"
    );
}

#[test]
fn a_loop_around_a_fan_out_is_one_fan_out() {
    let mut story = Story::started(vec![task(1, "plan", 0)]);
    for round in 0..100_u32 {
        let (at, scope) = (1 + 10 * round, 7 + round);
        story.fanned_out(at, scope, "plan", (1..4).map(|task_| task(at + task_, "pick", scope)).collect());
        for task in 1..4 {
            story.done(at + task, vec![]);
        }
        story.closed(scope, task(at + 10, "plan", 0));
    }
    assert_eq!(
        story.drawn(),
        "\
order-1  running  8m20s  400 of 401 tasks done
● plan ×101  ↺ ×100  100 done  1 ready  2ms each
└─ ✓ pick ×300  2ms each"
    );
}

#[test]
fn a_graph_of_many_different_branches_or_levels_stays_small() {
    let mut story = Story::started((1..1_001).map(|number| task(number, &format!("node-{number}"), 0)).collect());
    let drawn = story.drawn();
    assert_eq!(drawn.lines().count(), 1 + BRANCHES_MAX);
    assert!(drawn.ends_with("└─ … and 961 more branches"), "{drawn}");

    // Each round leaves a task aside, so each would be a level deeper.
    for number in 0..10_000_u32 {
        let at = if number == 0 { 1 } else { 2_000 + 2 * number };
        story.done(at, vec![task(2_001 + 2 * number, "aside", 0), task(2_002 + 2 * number, "on", 0)]);
    }
    let drawn = story.drawn();
    assert!(drawn.lines().count() < BRANCHES_MAX + 8, "{drawn}");
    let deep = story.drawn_with(&[Unfold::All]);
    assert!(deep.contains("… and deeper") && deep.lines().count() < 1_100, "{}", deep.lines().count());
}

#[test]
fn a_graph_as_mermaid_is_folded_and_its_names_are_no_markup() {
    let mut story = Story::started(vec![task(1, "plan\"];end\n<b>", 0)]);
    story.fanned_out(1, 7, "ship", (2..10).map(|number| task(number, "pick", 7)).collect());
    for number in 2..8 {
        story.done(number, vec![task(number + 10, "pack", 7)]);
    }
    assert_eq!(
        mermaid::text("order {1}", &story.graph(&[])),
        "\
%% order _1_
flowchart TD
  g0[\"plan#34;#93;#59;end#92;n#60;b#62; #35;1<br/>done\"]:::done
  j0_0{{\"ship<br/>waits for 8 of 14\"}}:::waiting
  g1[\"pick ×8<br/>6 done · 2 ready\"]:::busy
  g2[\"pack ×6<br/>6 ready\"]:::busy
  g0 ==> g1
  g1 -- join --> j0_0
  g2 -- join --> j0_0
  g1 --> g2
  classDef done fill:#d7f0dd,stroke:#2e7d46,color:#123
  classDef busy fill:#d6ecfa,stroke:#1f6fa8,color:#123
  classDef waiting fill:#fdf1cf,stroke:#a87b1f,color:#123
  classDef bad fill:#fadbd8,stroke:#a8321f,color:#123
  classDef dim fill:#eeeeee,stroke:#888888,color:#555
"
    );
}

#[test]
fn a_graph_as_dot_is_folded_and_its_names_are_quoted() {
    let mut story = Story::started(vec![task(1, "plan\"\\\n", 0)]);
    for number in 1..6 {
        story.done(number, vec![task(number + 1, "count", 0)]);
    }
    story.done(6, vec![]);
    assert_eq!(
        dot::text("a\"b", &story.graph(&[])),
        "\
digraph \"a\\\"b\" {
  rankdir=TB;
  node [shape=box, style=\"rounded,filled\", fontname=\"sans-serif\"];
  g0 [label=\"plan\\\"\\\\\\\\n #1\\ndone\", fillcolor=\"#d7f0dd\"];
  g1 [label=\"count ×5\\n5 done\", fillcolor=\"#d7f0dd\"];
  g0 -> g1;
  g1 -> g1 [style=dashed, constraint=false, label=\"again ×4\"];
}
"
    );
}

#[test]
fn every_form_of_ten_thousand_tasks_is_small_and_unfolded_it_is_complete() {
    let story = ten_thousand();
    let (folded, unfolded) = (story.graph(&[]), story.graph(&[Unfold::All]));
    for text in [mermaid::text("a", &folded), dot::text("a", &folded), serde_json::to_string(&GraphJson::of(&folded)).unwrap()] {
        assert!(text.len() < 1_500, "{text}");
    }
    assert_eq!(mermaid::text("a", &unfolded).matches("pick ").count(), 10_000);
    assert_eq!(dot::text("a", &unfolded).matches("pick #").count(), 10_000);
    let value = serde_json::to_value(GraphJson::of(&folded)).unwrap();
    assert_eq!((&value["groups"][1]["tasks"], &value["groups"][1]["retrying"]), (&10_000.into(), &176.into()));
    assert_eq!(value["arrows"][0], serde_json::json!({"from": "g0", "to": "g1", "kind": "fan_out", "times": null}));
    assert_eq!(value["joins"][0]["open"], 188);
}
