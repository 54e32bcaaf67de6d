//! `graft worker list`

use std::ops::ControlFlow;

use graft_client::Workers;
use graft_proto::documents::{Worker, WorkerList as Document};

use crate::cli::place::WorkerList;
use crate::commands::{Session, watching};
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::{Answer, View, compact, note, table};

/// Lists workers, what they serve and what they hold.
pub(crate) async fn run(session: &Session, args: &WorkerList) -> CliResult {
    let ask = async || {
        let workers = if args.all_namespaces { session.client.all_workers().await? } else { session.client.workers().await? };
        Ok(ControlFlow::Continue(workers))
    };
    let workers = watching::show(session, &args.watching, ask).await?;
    if !session.output.is_for_people() {
        return Ok(());
    }
    if workers.workers.is_empty() && !args.all_namespaces {
        note(&format!("No worker serves namespace \"{}\"; --all-namespaces shows those of others.", session.client.namespace()));
    }
    if !workers.live {
        note("The member that answered could not ask the leader: what is connected and held is not known.");
    }
    Ok(())
}

impl Answer for Workers {
    type Document = Document;

    fn document(&self) -> Document {
        let workers = self.workers.iter().map(|worker| Worker::of(worker, self.live)).collect();
        Document { live: self.live, workers }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.workers.iter().map(|worker| compact(&Worker::of(worker, self.live))).collect()
    }

    fn names(&self) -> Vec<String> {
        self.workers.iter().map(|worker| worker.worker_id.clone()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        table::workers(self, view)
    }
}
