//! What the verbs do: one file each, in the folder of their noun. Here: who does what, and what all share.
mod bench;
mod cluster;
mod dev;
mod reach;
mod worker;
mod workflow;

use std::thread::available_parallelism;
use std::time::Duration;

use graft_client::Client;

use crate::cli::{Cli, Cluster, Global, Noun, Worker, Workflow};
use crate::error::{CliError, CliResult};
use crate::output::Output;

/// Where the cluster answers if nobody says.
pub(crate) const ADDR_DEFAULT: &str = "http://127.0.0.1:7420";
/// Fewest threads where a server runs in this process: a long apply must not starve its heartbeats.
const THREADS_WITH_SERVER_MIN: usize = 4;

/// What every verb works with.
pub(crate) struct Session {
    /// To the cluster.
    pub(crate) client: Client,
    /// Where answers go.
    pub(crate) output: Output,
}

impl Session {
    /// Connects, and finds out within two seconds whether anybody answers at all.
    async fn open(global: &Global) -> CliResult<Self> {
        let addr = addr(global)?.unwrap_or(ADDR_DEFAULT);
        let client = client(addr, &global.namespace, global.timeout)?;
        reach::reach(addr, global.timeout).await?;
        Ok(Self { client, output: Output::new(global.output) })
    }
}

/// The address that was named. An empty one is a mistake (a variable of a script that was not set, most often), not the default: who names a
/// cluster must not reach another one.
pub(crate) fn addr(global: &Global) -> CliResult<Option<&str>> {
    match global.addr.as_deref() {
        Some(addr) if addr.split(',').all(|address| address.trim().is_empty()) => {
            Err(CliError::Usage("no address: name one, such as http://127.0.0.1:7420, with --addr or in GRAFT_ADDR".into()))
        }
        addr => Ok(addr),
    }
}

/// A client as the flags ask for.
pub(crate) fn client(addr: &str, namespace: &str, timeout: Duration) -> CliResult<Client> {
    Ok(Client::builder(addr).namespace(namespace).request_timeout(timeout).build()?)
}

/// Threads that the command needs.
pub(crate) fn threads(cli: &Cli) -> usize {
    let cores = available_parallelism().map_or(1, usize::from);
    let with_server = match cli.noun {
        Noun::Dev(_) => true,
        Noun::Bench(_) => cli.global.addr.is_none(),
        _ => false,
    };
    if with_server { cores.max(THREADS_WITH_SERVER_MIN) } else { cores }
}

/// Does what was asked, until it is done or Ctrl-C is pressed.
pub(crate) async fn run(cli: Cli) -> CliResult {
    if let Noun::Dev(dev) = &cli.noun {
        return dev::run(dev).await; // drains when it is interrupted
    }
    if let Noun::Bench(args) = &cli.noun {
        return bench::run(&cli.global, args).await; // leaves nothing on the server when it is interrupted
    }
    tokio::select! {
        done = verb(cli) => done,
        Ok(()) = tokio::signal::ctrl_c() => Err(CliError::Interrupted),
    }
}

async fn verb(cli: Cli) -> CliResult {
    let global = cli.global;
    let session = Session::open(&global).await?;
    match cli.noun {
        Noun::Workflow(verb) => match verb {
            Workflow::Start(args) => workflow::start::run(&session, args).await,
            Workflow::Get(target) => workflow::get::run(&session, &target).await,
            Workflow::List(args) => workflow::list::run(&session, &args).await,
            Workflow::Watch(target) => workflow::watch::run(&session, &target).await,
            Workflow::History(args) => workflow::history::run(&session, &args).await,
            Workflow::Pause(args) => workflow::pause::run(&session, args).await,
            Workflow::Resume(args) => workflow::resume::run(&session, args).await,
            Workflow::Cancel(args) => workflow::cancel::run(&session, args).await,
            Workflow::Terminate(args) => workflow::terminate::run(&session, args).await,
        },
        Noun::Worker(Worker::List(args)) => worker::list::run(&session, &args).await,
        Noun::Cluster(Cluster::Status) => cluster::status::run(&session).await,
        Noun::Dev(_) | Noun::Bench(_) => unreachable!("handled in `run`"),
    }
}
