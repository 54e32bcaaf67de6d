//! What trees look like: events in, text out.

use graft_client::proto::event::{self, Happened};
use graft_client::proto::{CreatedTask, Event, OnExhausted, OpenedScope, on_exhausted};

use super::*;

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
        let lines = lines("order-1", &self.progress, self.time_ms);
        lines.iter().map(|line| line.render(false)).collect::<Vec<_>>().join("\n")
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

#[test]
fn ten_thousand_siblings_fold_into_a_line_for_each_way_they_look() {
    let mut story = Story::started(vec![task(1, "plan", 0)]);
    story.fanned_out(1, 7, "ship", (2..10_002).map(|number| task(number, "pick", 7)).collect());
    for number in 2..9_999 {
        story.done(number, vec![]);
    }
    story.time_ms = 3_000;
    assert_eq!(
        story.drawn(),
        "\
order-1  running  2.0s  9998 of 10001 tasks done
✓ plan #1  2ms
├─ ✓ pick ×9997
├─ ● pick #9999  1.0s
├─ ● pick #10000  1.0s
└─ ● pick #10001  1.0s
⋈ ship  waits for 3 of 10000"
    );
}

#[test]
fn equal_branches_of_several_steps_fold_as_well() {
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
└─ ✓ pick → ● pack ×6"
    );
}

#[test]
fn a_loop_of_many_rounds_folds_in_its_column() {
    let mut story = Story::started(vec![task(1, "count", 0)]);
    for number in 1..10_000 {
        story.done(number, vec![task(number + 1, "count", 0)]);
    }
    assert_eq!(
        story.drawn(),
        "\
order-1  running  2h46m  9999 of 10000 tasks done
✓ count ×9999
● count #10000  0ms"
    );
}

#[test]
fn a_tree_of_many_different_branches_or_levels_stays_small() {
    let mut story = Story::started((1..1_001).map(|number| task(number, &format!("node-{number}"), 0)).collect());
    let drawn = story.drawn();
    assert_eq!(drawn.lines().count(), 1 + BRANCHES_MAX);
    assert!(drawn.ends_with("└─ … and 961 more branches"), "{drawn}");

    // Each round leaves a task aside, so each is a level deeper.
    for number in 0..10_000_u32 {
        let at = if number == 0 { 1 } else { 2_000 + 2 * number };
        story.done(at, vec![task(2_001 + 2 * number, "aside", 0), task(2_002 + 2 * number, "on", 0)]);
    }
    let drawn = story.drawn();
    assert!(drawn.lines().count() < BRANCHES_MAX + 2 * DEPTH_MAX + 2, "{drawn}");
    assert!(drawn.contains("… and deeper"), "{drawn}");
}
