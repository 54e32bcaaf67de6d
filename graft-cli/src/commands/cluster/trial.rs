//! `graft cluster try`: one workflow from its start to its end, worked off by this process.
//!
//! The node has a name of its own, so that no other worker takes it; what is not done in time is terminated, so that nothing waits for ever.

use std::future::ready;
use std::time::Duration;

use graft_client::{Next, NodeContext, Outcome, RawJson, StartWorkflow, Worker};
use tokio::sync::oneshot;

use crate::cli::place::TryArgs;
use crate::cli::value::Wait;
use crate::commands::Session;
use crate::commands::workflow::ended;
use crate::error::{CliError, CliResult};

/// How long the workflow is kept once it has ended.
const RETENTION: Duration = Duration::from_secs(3_600);

/// Tries, and shows the workflow as it ended.
pub(super) async fn run(session: &Session, args: &TryArgs) -> CliResult {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let name = format!("try-{}", &id[..8]);
    let done = |_: NodeContext, _: RawJson, (): ()| ready(Ok(Outcome::done()));
    let worker = Worker::builder(session.client.clone()).name(&name).node_fn(&*name, done).build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let mut working = tokio::spawn(worker.run_until(async {
        let _ = stopped.await;
    }));
    let start = StartWorkflow::new(&name).request_id(&id).retention(RETENTION).node(Next::raw(&name, RawJson::default()));
    let started = session.client.start(start).await?;
    let workflow = session.client.workflow(&started.workflow_id).run(started.run);
    let tried = tokio::select! {
        tried = ended(session, &workflow, Wait::AtMost(args.wait), &[]) => tried,
        ended = &mut working => Err(match ended {
            Ok(Err(error)) => error.into(),
            _ => CliError::Other("the worker of this process has ended by itself".to_owned()),
        }),
    };
    if tried.is_err() {
        // Nothing is left of a workflow that has ended; another would wait for ever.
        let _ = workflow.terminate("it was not done in the time that was given for a try, or by nobody").await;
    }
    if !working.is_finished() {
        drop(stop);
        let _ = working.await;
    }
    tried
}
