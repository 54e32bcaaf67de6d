//! `graft cluster status`

use crate::commands::Session;
use crate::error::CliResult;
use crate::output::json::ClusterJson;
use crate::output::table;

/// Shows members, leader and log positions.
pub(crate) async fn run(session: &Session) -> CliResult {
    let status = session.client.cluster_status().await?;
    if session.output.is_json() {
        return session.output.document(&ClusterJson::from(&status));
    }
    session.output.lines(&table::cluster(&status))
}
