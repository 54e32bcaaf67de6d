//! Arguments that many verbs share: which workflow, which task, which page; and how a verb goes about it.

use std::time::Duration;

use clap::Args;

use super::value::{self, FOREVER, TaskRef, Wait, When};

/// Which workflow.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// Id of the workflow.
    #[arg(value_name = "ID")]
    pub(crate) id: String,
    /// Only this run of it, by its number; otherwise the current one.
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub(crate) run: u64,
}

/// Which task.
#[derive(Debug, Args)]
pub(crate) struct TaskTarget {
    /// Its workflow and its number, such as order-1042/7; with @RUN of another run than the current one.
    #[arg(value_name = "WORKFLOW/TASK", value_parser = value::task_ref)]
    pub(crate) task: TaskRef,
}

/// Which page of something long, and how long a page is.
#[derive(Debug, Default, Args)]
pub(crate) struct Page {
    /// Most rows of a page, up to 1000 [default: 100; with --all, pages of 1000].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: Option<u32>,
    /// All pages, not only the first.
    #[arg(long)]
    pub(crate) all: bool,
    /// The page that begins here: `next_cursor` of the page before.
    #[arg(long, default_value = "", hide_default_value = true, conflicts_with = "all")]
    pub(crate) cursor: String,
}

/// Whether a look becomes a watch.
#[derive(Debug, Args)]
pub(crate) struct Watching {
    /// Look again and again, every 2s or as said (--watch=500ms): drawn over on a terminal; elsewhere, written again when it has changed.
    #[arg(long, value_parser = value::some_time, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = "2s")]
    pub(crate) watch: Option<Duration>,
}

/// Whether the end is waited for.
#[derive(Debug, Args)]
pub(crate) struct Waiting {
    /// Wait until the workflow has ended, or at most for this long (--wait=30s), and exit with how it ended (0, 10, 11, 12; 7 if it has not).
    #[arg(long, value_parser = value::wait, value_name = "DURATION", num_args = 0..=1, require_equals = true, default_missing_value = FOREVER)]
    pub(crate) wait: Option<Wait>,
}

/// Whether something that cannot be undone, or touches many, may happen.
#[derive(Debug, Args)]
pub(crate) struct Consent {
    /// Do it without asking.
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// Change nothing, only show what it would be.
    #[arg(long, conflicts_with = "yes")]
    pub(crate) dry_run: bool,
}

/// Which dead letters.
#[derive(Debug, Args)]
pub(crate) struct DeadLetterWhich {
    /// Only of this workflow.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    pub(crate) workflow: String,
    /// Only of this run of it, by its number; otherwise of the current one.
    #[arg(long, default_value_t = 0, hide_default_value = true, requires = "workflow")]
    pub(crate) run: u64,
    /// Only of this node.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(crate) node: String,
    /// Only those whose error holds this text.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    pub(crate) error: String,
    /// Only those given up since then: how long ago (2h), or exactly (2026-11-24T04:05:06Z).
    #[arg(long, value_parser = value::when, value_name = "TIME")]
    pub(crate) since: Option<When>,
    /// Only those given up before then.
    #[arg(long, value_parser = value::when, value_name = "TIME")]
    pub(crate) until: Option<When>,
}

impl DeadLetterWhich {
    /// Whether nothing narrows it.
    pub(crate) fn is_all(&self) -> bool {
        let Self { workflow, run: _, node, error, since, until } = self;
        workflow.is_empty() && node.is_empty() && error.is_empty() && since.is_none() && until.is_none()
    }
}
