//! Tables and facts for people: aligned, without frames, so that they can be cut with the usual tools.

use comfy_table::{Cell, ContentArrangement, Table, presets};
use graft_client::proto::{ClusterStatusResponse, Member, TaskSummary, WorkflowStatus, WorkflowSummary};
use graft_client::{Started, Workers, Workflow, is_final, status_name};

use super::View;
use super::style::{Line, Tone, visible};
use super::time::{ago, duration_ms, rfc3339};

/// Longest reason or error in a table, in characters.
const TEXT_MAX: usize = 60;
/// Longest state or config that is shown, in bytes; `-o json` shows all of it.
const DOCUMENT_BYTES_MAX: usize = 4_000;

/// A member that was heard within this time is there, in milliseconds: some heartbeats.
const QUIET_MS: u64 = 1_000;

/// A column of a table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    header: &'static str,
    wide: bool,
}

/// A column that is always there.
pub(crate) const fn column(header: &'static str) -> Column {
    Column { header, wide: false }
}

/// A column for people with wide terminals.
pub(crate) const fn wide(header: &'static str) -> Column {
    Column { header, wide: true }
}

/// Rows under headers, aligned; without rows only the headers. A row has a cell for each column, also for those that are not shown.
pub(crate) fn table(view: View, columns: &[Column], rows: impl IntoIterator<Item = Vec<String>>) -> Vec<Line> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if view.headers {
        table.set_header(columns.iter().filter(|column| view.wide || !column.wide).map(|column| Cell::new(column.header)));
    }
    let mut empty = true;
    for row in rows {
        empty = false;
        let cells = columns.iter().zip(&row).filter(|(column, _)| view.wide || !column.wide);
        table.add_row(cells.map(|(_, text)| visible(text)));
    }
    if empty && !view.headers {
        return Vec::new();
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let text = table.to_string();
    let tone = |at: usize| if at == 0 && view.headers { Tone::Dim } else { Tone::Plain };
    text.lines().enumerate().map(|(at, line)| Line::of(tone(at), line.trim_end())).collect()
}

/// Names and values, aligned.
pub(crate) fn facts(facts: &[(&str, String)]) -> Vec<Line> {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): &(&str, String)| Line::of(Tone::Dim, format!("{name:width$}  ")).add(Tone::Plain, value.clone());
    facts.iter().filter(|(_, value)| !value.is_empty()).map(line).collect()
}

/// Tone of a status.
pub(crate) fn tone(status: WorkflowStatus) -> Tone {
    match status {
        WorkflowStatus::Running => Tone::Busy,
        WorkflowStatus::Paused | WorkflowStatus::Cancelling => Tone::Waiting,
        WorkflowStatus::Completed => Tone::Good,
        WorkflowStatus::Failed | WorkflowStatus::TimedOut => Tone::Bad,
        WorkflowStatus::Cancelled | WorkflowStatus::Terminated | WorkflowStatus::Unspecified => Tone::Dim,
    }
}

/// Answer of `workflow start`.
pub(crate) fn started(started: &Started) -> Vec<Line> {
    let what = if started.created { "started" } else { "was there" };
    vec![Line::of(Tone::Strong, started.workflow_id.clone()).add(Tone::Plain, format!("  run {}  {what}", started.run))]
}

/// Answer of the verbs that steer.
pub(crate) fn steered(summary: &WorkflowSummary) -> Vec<Line> {
    let name = Line::of(Tone::Strong, summary.workflow_id.clone()).add(Tone::Plain, format!("  run {}  ", summary.run));
    vec![name.add(tone(summary.status()), status_name(summary.status()))]
}

/// Answer of `workflow list`.
pub(crate) fn workflows(workflows: &[WorkflowSummary], view: View) -> Vec<Line> {
    let row = |summary: &WorkflowSummary| {
        let end = if summary.ended_ms == 0 { view.now_ms } else { summary.ended_ms };
        vec![
            summary.workflow_id.clone(),
            status_name(summary.status()).to_owned(),
            summary.run.to_string(),
            summary.open_tasks.to_string(),
            summary.dead_letters.to_string(),
            ago(summary.created_ms, view.now_ms),
            duration_ms(end.saturating_sub(summary.created_ms)),
            summary.revision.to_string(),
            rfc3339(summary.deadline_ms).unwrap_or_else(|| "-".to_owned()),
            labels(summary),
            short(&summary.reason),
        ]
    };
    let columns = [
        column("ID"),
        column("STATUS"),
        column("RUN"),
        column("OPEN"),
        wide("DEAD"),
        column("STARTED"),
        column("TOOK"),
        wide("REVISION"),
        wide("DEADLINE"),
        wide("LABELS"),
        column("REASON"),
    ];
    table(view, &columns, workflows.iter().map(row))
}

/// `KEY=VALUE KEY=VALUE`, in order.
fn labels(summary: &WorkflowSummary) -> String {
    let mut labels: Vec<String> = summary.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    labels.sort();
    labels.join(" ")
}

/// Answer of `workflow get`.
pub(crate) fn workflow(workflow: &Workflow, view: View) -> Vec<Line> {
    let (summary, now_ms) = (&workflow.summary, view.now_ms);
    let status = summary.status();
    let ended = if is_final(status) { rfc3339(summary.ended_ms).unwrap_or_default() } else { String::new() };
    let mut lines = vec![
        Line::of(Tone::Strong, summary.workflow_id.clone())
            .add(Tone::Plain, format!("  run {}  ", summary.run))
            .add(tone(status), status_name(status)),
    ];
    lines.extend(facts(&[
        ("namespace", summary.namespace.clone()),
        ("reason", summary.reason.clone()),
        ("started", rfc3339(summary.created_ms).map(|at| format!("{at} ({})", ago(summary.created_ms, now_ms))).unwrap_or_default()),
        ("ended", ended),
        ("deadline", rfc3339(summary.deadline_ms).unwrap_or_default()),
        ("labels", labels(summary)),
        ("revision", summary.revision.to_string()),
        ("open tasks", summary.open_tasks.to_string()),
        ("dead letters", if summary.dead_letters == 0 { String::new() } else { summary.dead_letters.to_string() }),
        ("state", cut(&workflow.state.to_string())),
    ]));
    if !workflow.tasks.is_empty() {
        lines.push(Line::default());
        lines.extend(tasks(&workflow.tasks, view));
        let listed = u32::try_from(workflow.tasks.len()).unwrap_or(u32::MAX);
        let more = (summary.open_tasks + summary.dead_letters).saturating_sub(listed);
        if more > 0 {
            lines.push(Line::of(Tone::Dim, format!("… and {more} more")));
        }
    }
    lines
}

/// A document cut to what a screen can hold.
pub(crate) fn cut(text: &str) -> String {
    if text.len() <= DOCUMENT_BYTES_MAX {
        return text.to_owned();
    }
    let end = (0..=DOCUMENT_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
    format!("{}… ({} bytes; -o json shows all)", &text[..end], text.len())
}

fn tasks(tasks: &[TaskSummary], view: View) -> Vec<Line> {
    let row = |task: &TaskSummary| {
        vec![
            task.task.to_string(),
            task.node.clone(),
            task_state(task, view.now_ms),
            format!("{}/{}", task.failures, task.max_attempts),
            task.scope.to_string(),
            task.priority.to_string(),
            short(last_words(task)),
        ]
    };
    let columns =
        [column("TASK"), column("NODE"), column("STATE"), column("FAILED"), wide("SCOPE"), wide("PRIORITY"), column("LAST WORDS")];
    table(view, &columns, tasks.iter().map(row))
}

/// What a task is waiting for, and how long still.
pub(crate) fn task_state(task: &TaskSummary, now_ms: u64) -> String {
    match task.until_ms.checked_sub(now_ms) {
        Some(left) if left > 0 => format!("{} {}", task.state, duration_ms(left)),
        _ => task.state.clone(),
    }
}

/// What a task said last: its error, or else its progress.
pub(crate) fn last_words(task: &TaskSummary) -> &str {
    if task.last_error.is_empty() { &task.progress } else { &task.last_error }
}

/// Answer of `worker list`.
pub(crate) fn workers(workers: &Workers, view: View) -> Vec<Line> {
    let rows = workers.workers.iter().flat_map(|worker| {
        let stands = match (workers.live, worker.connected) {
            (false, _) => "?",
            (true, true) => "connected",
            (true, false) => "silent",
        };
        worker.nodes.iter().enumerate().map(move |(at, node)| {
            let held = if workers.live { format!("{} of {}", node.held, node.capacity) } else { format!("? of {}", node.capacity) };
            let first = |text: &str| if at == 0 { text.to_owned() } else { String::new() };
            let since = ago(worker.opened_ms, view.now_ms);
            vec![
                first(&worker.worker_id),
                first(&worker.namespace),
                first(stands),
                node.node.clone(),
                held,
                first(&since),
                first(&worker.build_id),
                first(&worker.incarnation),
            ]
        })
    });
    let columns = [
        column("WORKER"),
        column("NAMESPACE"),
        column("STREAM"),
        column("NODE"),
        column("HELD"),
        column("SINCE"),
        column("BUILD"),
        wide("INCARNATION"),
    ];
    table(view, &columns, rows)
}

/// Answer of `cluster status`.
pub(crate) fn cluster(status: &ClusterStatusResponse, view: View) -> Vec<Line> {
    let name =
        |id: u64| status.members.iter().find(|member| member.raft_id == id).map_or_else(|| id.to_string(), |member| member.name.clone());
    let mut lines = facts(&[
        ("cluster", format!("{} {}", status.cluster_name, status.cluster_id).trim().to_owned()),
        ("leader", if status.leader == 0 { "none is known".to_owned() } else { format!("{} (term {})", name(status.leader), status.term) }),
        ("answered by", format!("{} (graftd {})", name(status.answered_by), status.version)),
        ("machine version", machine_version(status)),
        ("ready", if status.not_ready_reason.is_empty() { "yes".to_owned() } else { format!("no: {}", status.not_ready_reason) }),
    ]);
    lines.push(Line::default());
    lines.extend(members(status, view));
    lines
}

/// Answer of `cluster members`.
pub(crate) fn members(status: &ClusterStatusResponse, view: View) -> Vec<Line> {
    let ready = |member: &Member| match member.not_ready_reason.as_deref() {
        None => "?".to_owned(),
        Some("") => "yes".to_owned(),
        Some(why) => format!("no: {}", short(why)),
    };
    let index = |number: u64| if number == 0 { "?".to_owned() } else { number.to_string() };
    let rows = status.members.iter().map(|member| {
        vec![
            member.name.clone(),
            member.role.clone(),
            ready(member),
            member.client_address.clone(),
            member.peer_address.clone(),
            index(member.last_index),
            index(member.applied_index),
            index(member.flushed_index),
            member.silent_ms.map_or_else(
                || "?".to_owned(),
                |silent| if silent < QUIET_MS { "now".to_owned() } else { format!("{} ago", duration_ms(silent)) },
            ),
            if member.machine_version_max == 0 { "?".to_owned() } else { member.machine_version_max.to_string() },
            member.raft_id.to_string(),
        ]
    });
    let columns = [
        column("MEMBER"),
        column("ROLE"),
        column("READY"),
        column("ADDRESS"),
        wide("PEER ADDRESS"),
        column("LAST"),
        column("APPLIED"),
        column("FLUSHED"),
        column("HEARD"),
        wide("FOLLOWS"),
        wide("RAFT ID"),
    ];
    table(view, &columns, rows)
}

/// The version in force; and the highest that the answering member can follow, if that is another one.
fn machine_version(status: &ClusterStatusResponse) -> String {
    match (status.machine_version, status.machine_version_max) {
        (0, max) => format!("none is in force yet ({max} can be followed)"),
        (now, max) if max > now => format!("{now} ({max} can be followed)"),
        (now, _) => now.to_string(),
    }
}

/// A text cut to what a table can hold, on one line.
pub(crate) fn short(text: &str) -> String {
    let first = text.lines().next().unwrap_or_default();
    if first.chars().count() <= TEXT_MAX {
        return first.to_owned();
    }
    first.chars().take(TEXT_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use graft_client::RawJson;
    use graft_client::proto::{Member, Worker, WorkerNode};

    use super::*;

    fn text(lines: &[Line]) -> Vec<String> {
        lines.iter().map(|line| line.render(false)).collect()
    }

    fn summary(status: WorkflowStatus) -> WorkflowSummary {
        let mut summary =
            WorkflowSummary { workflow_id: "order-1".into(), run: 7, created_ms: 1_000, open_tasks: 2, ..WorkflowSummary::default() };
        summary.set_status(status);
        summary
    }

    #[test]
    fn a_list_is_a_table_without_a_frame() {
        let lines = text(&workflows(&[summary(WorkflowStatus::Running)], View::plain(4_000)));
        assert_eq!(lines.len(), 2);
        let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&lines[0]), ["ID", "STATUS", "RUN", "OPEN", "STARTED", "TOOK", "REASON"]);
        assert_eq!(words(&lines[1]), ["order-1", "running", "7", "2", "3.0s", "ago", "3.0s"]);
        assert_eq!(text(&workflows(&[], View::plain(0))).len(), 1);
        let bare = View { headers: false, ..View::plain(4_000) };
        assert_eq!(text(&workflows(&[], bare)), [""; 0]);
        assert_eq!(words(&text(&workflows(&[summary(WorkflowStatus::Running)], bare))[0])[0], "order-1");
        let wide = text(&workflows(&[summary(WorkflowStatus::Running)], View { wide: true, ..View::plain(4_000) }));
        assert!(wide[0].contains("LABELS") && wide[0].contains("DEADLINE") && !lines[0].contains("LABELS"), "{wide:?}");
    }

    #[test]
    fn a_workflow_shows_its_state_and_open_tasks() {
        let task = TaskSummary {
            task: 4,
            node: "pick".into(),
            state: "delayed".into(),
            attempt: 3,
            failures: 2,
            max_attempts: 5,
            until_ms: 6_000,
            ..TaskSummary::default()
        };
        let workflow_ =
            Workflow { summary: summary(WorkflowStatus::Running), state: RawJson::from_bytes(&b"{\"a\":1}"[..]), tasks: vec![task] };
        let lines = text(&workflow(&workflow_, View::plain(4_000))).join("\n");
        for part in ["order-1  run 7  running", "{\"a\":1}", "delayed 2.0s", "2/5", "… and 1 more"] {
            assert!(lines.contains(part), "{part} is not in\n{lines}");
        }
    }

    #[test]
    fn a_worker_has_a_row_for_each_node() {
        let nodes = ["pick", "ship"].map(|node| WorkerNode { node: node.into(), capacity: 8, held: 3 }).to_vec();
        let worker = Worker { worker_id: "w-1".into(), namespace: "default".into(), connected: true, nodes, ..Worker::default() };
        let lines = text(&workers(&Workers { workers: vec![worker], live: true }, View::plain(0)));
        assert_eq!(lines.len(), 3);
        assert!(
            lines[1].contains("w-1") && lines[1].contains("3 of 8") && !lines[2].contains("w-1") && lines[2].contains("ship"),
            "{lines:?}"
        );
    }

    #[test]
    fn a_cluster_names_its_leader() {
        let member = Member { raft_id: 5, name: "a".into(), role: "leader".into(), ..Member::default() };
        let status =
            ClusterStatusResponse { leader: 5, term: 2, answered_by: 5, members: vec![member], ..ClusterStatusResponse::default() };
        let lines = text(&cluster(&status, View::plain(0))).join("\n");
        assert!(lines.contains("a (term 2)"), "{lines}");
    }

    #[test]
    fn a_long_text_is_cut() {
        assert_eq!(short("one\ntwo"), "one");
        assert_eq!(short(&"ä".repeat(100)).chars().count(), TEXT_MAX);
    }
}
