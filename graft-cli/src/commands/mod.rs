//! What the verbs do: one file each, in the folder of their noun. Here: who does what, and what all share.
mod audit;
mod bench;
mod cluster;
mod completions;
mod context;
mod dead_letter;
mod debug_bundle;
mod dev;
mod events;
mod explain;
mod files;
mod limit;
mod man;
mod paging;
mod reach;
mod schema;
mod task;
mod tls;
mod token;
mod watching;
mod whoami;
mod worker;
mod workflow;

use std::thread::available_parallelism;
use std::time::Duration;

use graft_client::Client;

use crate::cli::place::{Cluster, Snapshot, Worker};
use crate::cli::task::{DeadLetter, Limit, Task};
use crate::cli::workflow::Workflow;
use crate::cli::{Cli, Global, Noun};
use crate::contexts::Place;
use crate::error::{CliError, CliResult};
use crate::output::{Output, detail};

/// Fewest threads where a server runs in this process: a long apply must not starve its heartbeats.
const THREADS_WITH_SERVER_MIN: usize = 4;

/// What every verb that asks a cluster works with.
pub(crate) struct Session {
    /// To the cluster.
    pub(crate) client: Client,
    /// Where answers go.
    pub(crate) output: Output,
}

impl Session {
    /// Connects, and finds out within two seconds whether anybody answers at all.
    async fn open(global: &Global, output: Output) -> CliResult<Self> {
        let place = Place::of(global)?;
        let client = client(&place, global.timeout)?;
        let context = place.context.map(|name| format!(" (context {name})")).unwrap_or_default();
        detail(&format!("asking {}{context} in namespace {}", place.addr, place.namespace));
        reach::reach(&place.addr, global.timeout).await?;
        Ok(Self { client, output })
    }
}

/// A client as the flags ask for.
pub(crate) fn client(place: &Place, timeout: Duration) -> CliResult<Client> {
    let client = Client::builder(&place.addr).namespace(&place.namespace).tls(place.tls.tls()?).request_timeout(timeout);
    let client = match &place.token_file {
        Some(file) => client.token_file(file),
        None => client,
    };
    Ok(client.build()?)
}

/// Threads that the command needs.
pub(crate) fn threads(cli: &Cli) -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    let with_server = matches!(cli.noun, Noun::Dev(_) | Noun::Bench(_));
    if with_server { cores.max(THREADS_WITH_SERVER_MIN) } else { cores }
}

/// Does what was asked, until it is done or Ctrl-C is pressed.
pub(crate) async fn run(cli: Cli, output: Output) -> CliResult {
    if let Noun::Dev(dev) = &cli.noun {
        return dev::run(dev).await; // drains when it is interrupted
    }
    if let Noun::Bench(args) = &cli.noun {
        return bench::run(&cli.global, output, args).await; // leaves nothing on the server when it is interrupted
    }
    tokio::select! {
        done = verb(cli, output) => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

async fn verb(cli: Cli, output: Output) -> CliResult {
    let global = cli.global;
    let session = async || Session::open(&global, output).await;
    match cli.noun {
        Noun::Workflow(verb) => match verb {
            Workflow::Start(args) => workflow::start::run(&session().await?, args).await,
            Workflow::Get(args) => workflow::get::run(&session().await?, &args).await,
            Workflow::List(args) => workflow::list::run(&session().await?, &args).await,
            Workflow::Watch(args) => workflow::watch::run(&session().await?, &args).await,
            Workflow::History(args) => workflow::history::run(&session().await?, &args).await,
            Workflow::Graph(args) => workflow::graph::run(&session().await?, &args).await,
            Workflow::Pause(args) => workflow::pause::run(&session().await?, args).await,
            Workflow::Resume(args) => workflow::resume::run(&session().await?, args).await,
            Workflow::Cancel(args) => workflow::cancel::run(&session().await?, args).await,
            Workflow::Terminate(args) => workflow::terminate::run(&session().await?, args).await,
            Workflow::Export(args) => workflow::export::run(&session().await?, &args).await,
        },
        Noun::Worker(Worker::List(args)) => worker::list::run(&session().await?, &args).await,
        // What is in a file is looked at without a server.
        Noun::Cluster(Cluster::Snapshot(Snapshot::Inspect(args))) => cluster::snapshot::inspected(output, &args),
        Noun::Cluster(Cluster::Snapshot(Snapshot::Restore(args))) => cluster::snapshot::restored(output, &args),
        Noun::Cluster(verb) => cluster::run(&session().await?, &global, verb).await,
        Noun::Task(verb) => match verb {
            Task::List(args) => task::list::run(&session().await?, &args).await,
            Task::Get(args) => task::get::run(&session().await?, &args).await,
            Task::Retry(args) => task::retry::run(&session().await?, &args).await,
        },
        Noun::DeadLetter(verb) => match verb {
            DeadLetter::List(args) => dead_letter::list::run(&session().await?, &args).await,
            DeadLetter::Get(args) => dead_letter::get::run(&session().await?, &args).await,
            DeadLetter::Redrive(args) => dead_letter::redrive::run(&session().await?, &args).await,
            DeadLetter::Discard(args) => dead_letter::discard::run(&session().await?, &args).await,
        },
        Noun::Limit(verb) => match verb {
            Limit::List(args) => limit::list::run(&session().await?, &args).await,
            Limit::Set(args) => limit::set::run(&session().await?, &args).await,
            Limit::Unset(args) => limit::unset::run(&session().await?, &args).await,
        },
        Noun::DebugBundle(args) => debug_bundle::run(&session().await?, &global, &args).await,
        Noun::Token(verb) => token::run(&session().await?, verb).await,
        Noun::Whoami => whoami::run(&session().await?).await,
        Noun::Audit(args) => audit::run(&session().await?, &args).await,
        Noun::Events(args) => events::run(&session().await?, &args).await,
        Noun::Context(verb) => context::run(&global, output, verb).await,
        Noun::Tls(verb) => tls::run(&verb),
        Noun::Schema(args) => schema::run(output, &args),
        Noun::Explain(args) => explain::run(output, &args),
        Noun::Completions(args) => completions::run(output, &args),
        Noun::Man(args) => man::run(&args),
        Noun::Dev(_) | Noun::Bench(_) => unreachable!("handled in `run`"),
    }
}
