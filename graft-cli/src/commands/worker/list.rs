//! `graft worker list`

use crate::cli::WorkerList;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::json::WorkersJson;
use crate::output::{say, table, time};

/// Lists workers, what they serve and what they hold.
pub(crate) async fn run(session: &Session, args: &WorkerList) -> CliResult {
    let workers = if args.all_namespaces { session.client.all_workers().await? } else { session.client.workers().await? };
    if session.output.is_json() {
        return session.output.document(&WorkersJson::from(&workers));
    }
    session.output.lines(&table::workers(&workers, time::now_ms()))?;
    if workers.workers.is_empty() && !args.all_namespaces {
        say(&format!("No worker serves namespace \"{}\"; --all-namespaces shows those of others.", session.client.namespace()));
    }
    if !workers.live {
        say("The member that answered could not ask the leader: what is connected and held is not known.");
    }
    Ok(())
}
