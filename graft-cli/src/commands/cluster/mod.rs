//! Verbs of `graft cluster`.
mod bootstrap;
pub(super) mod doctor;
pub(super) mod each;
mod join_token;
pub(super) mod log_level;
mod members;
mod order;
pub(super) mod profile;
pub(super) mod snapshot;
mod status;
mod together;
mod trial;
mod upgrade;

use crate::cli::Global;
use crate::cli::place::{Cluster, JoinToken, Snapshot};
use crate::commands::Session;
use crate::error::CliResult;

/// Does what was asked.
pub(super) async fn run(session: &Session, global: &Global, verb: Cluster) -> CliResult {
    match verb {
        Cluster::Status(watching) => status::run(session, global, &watching).await,
        Cluster::Members(watching) => members::run(session, global, &watching).await,
        Cluster::Doctor => doctor::run(session, global).await,
        Cluster::LogLevel(args) => log_level::run(session, global, &args).await,
        Cluster::Profile(args) => profile::run(session, args).await,
        Cluster::Try(args) => trial::run(session, &args).await,
        Cluster::Bootstrap(args) => bootstrap::run(session, args).await,
        Cluster::JoinToken(JoinToken::Create(args)) => join_token::create(session, args).await,
        Cluster::JoinToken(JoinToken::List) => join_token::list(session).await,
        Cluster::JoinToken(JoinToken::Revoke(which)) => join_token::revoke(session, which).await,
        Cluster::Approve(args) => join_token::approve(session, args).await,
        Cluster::Promote(which) => order::promote(session, which).await,
        Cluster::Remove(args) => order::remove(session, args).await,
        Cluster::TransferLeader(args) => order::transfer_leader(session, args).await,
        Cluster::Upgrade(args) => upgrade::run(session, args).await,
        Cluster::Snapshot(Snapshot::Save(args)) => snapshot::save(session, args).await,
        Cluster::Snapshot(Snapshot::Inspect(args)) => snapshot::inspected(session.output, &args),
        Cluster::Snapshot(Snapshot::Restore(args)) => snapshot::restored(session.output, &args),
        Cluster::Drain(args) => order::drain(session, args).await,
    }
}
