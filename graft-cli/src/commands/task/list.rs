//! `graft task list`

use graft_client::proto::TaskState as Wire;
use graft_client::{TaskFilter, TaskPage};

use crate::cli::task::{TaskList, TaskState};
use crate::commands::{Session, paging};
use crate::error::CliResult;
use crate::output::note;

/// Lists open tasks and dead letters, a page or all of them.
pub(crate) async fn run(session: &Session, args: &TaskList) -> CliResult {
    let mut filter = TaskFilter::new().workflow(&args.workflow).run(args.run).node(&args.node);
    for state in &args.state {
        filter = filter.state(wire(*state));
    }
    let ask = async |limit, cursor: String| Ok(session.client.tasks(filter.clone().limit(limit).cursor(cursor)).await?);
    let page = paging::show(session, (&args.page, &args.watching), "tasks", ask).await?;
    let filtered = !args.workflow.is_empty() || !args.node.is_empty() || !args.state.is_empty();
    let nothing = || match filtered {
        true => "No open task matches.".to_owned(),
        false => format!("No task of namespace \"{}\" is open.", session.client.namespace()),
    };
    if session.output.is_for_people()
        && let Some(words) = paging::remark(&args.page, page.next_cursor.as_deref(), page.tasks.len(), nothing)
    {
        note(&words);
    }
    Ok(())
}

impl paging::Paged for TaskPage {
    fn next_cursor(&mut self) -> &mut Option<String> {
        &mut self.next_cursor
    }

    fn rows(&self) -> usize {
        self.tasks.len()
    }

    fn append(&mut self, more: Self) {
        self.tasks.extend(more.tasks);
        self.next_cursor = more.next_cursor;
    }
}

fn wire(state: TaskState) -> Wire {
    match state {
        TaskState::Ready => Wire::Ready,
        TaskState::Delayed => Wire::Delayed,
        TaskState::Blocked => Wire::Blocked,
        TaskState::DeadLettered => Wire::DeadLettered,
    }
}
