//! `graft context test`

use std::time::{Duration, Instant};

use graft_client::proto::ClusterStatusResponse;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::Global;
use crate::cli::place::ContextTest;
use crate::commands::client;
use crate::contexts::Place;
use crate::error::{CliError, CliResult};
use crate::output::json::{Document, some};
use crate::output::style::Line;
use crate::output::table::{column, table, wide};
use crate::output::time::three_digits;
use crate::output::{Answer, Output, View, compact};

/// Longest wait for the answer of one address.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks each address of a context who answers there, and how fast.
pub(crate) async fn run(global: &Global, output: Output, args: &ContextTest) -> CliResult {
    let global = Global { context: args.name.clone().or_else(|| global.context.clone()), ..global.clone() };
    let place = Place::of(&global)?;
    let patience = PATIENCE.min(global.timeout);
    let addresses = place.addr.split(',').map(str::trim).filter(|address| !address.is_empty());
    let asked = addresses.map(|address| asked(&place, address, patience));
    let tested = Tested { context: place.context.clone(), addresses: futures::future::join_all(asked).await };
    output.show(&tested)?;
    let silent = tested.addresses.iter().filter(|address| address.answer.is_err()).count();
    if silent > 0 {
        return Err(CliError::NotAllAnswer { silent, of: tested.addresses.len() });
    }
    let clusters: std::collections::BTreeSet<&str> =
        tested.addresses.iter().filter_map(|address| Some(address.answer.as_ref().ok()?.0.cluster_id.as_str())).collect();
    if clusters.len() > 1 {
        return Err(CliError::Conflict(format!("the addresses belong to {} different clusters", clusters.len())));
    }
    Ok(())
}

/// What an address answered: the cluster as the member there sees it, and how long that took.
struct Asked {
    address: String,
    answer: Result<(ClusterStatusResponse, Duration), String>,
}

async fn asked(place: &Place, address: &str, patience: Duration) -> Asked {
    let answer = async {
        let place = Place { addr: address.to_owned(), ..place.clone() };
        let client = client(&place, patience).map_err(|error| error.to_string())?;
        // The first answer also makes the connection; the second one is what a request takes.
        client.cluster_status().await.map_err(|error| error.message().to_owned())?;
        let asked = Instant::now();
        let status = client.cluster_status().await.map_err(|error| error.message().to_owned())?;
        Ok((status, asked.elapsed()))
    };
    Asked { address: address.to_owned(), answer: answer.await }
}

struct Tested {
    context: Option<String>,
    addresses: Vec<Asked>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct TestedJson {
    context: Option<String>,
    addresses: Vec<AskedJson>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct AskedJson {
    addr: String,
    answers: bool,
    member: Option<String>,
    version: Option<String>,
    latency_us: Option<u64>,
    leader: Option<String>,
    ready: Option<bool>,
    cluster_id: Option<String>,
    error: Option<String>,
}

impl Document for TestedJson {
    const KIND: &'static str = "ContextTest";
}

impl Document for AskedJson {
    const KIND: &'static str = "AddressTest";
}

impl From<&Asked> for AskedJson {
    fn from(asked: &Asked) -> Self {
        let addr = asked.address.clone();
        match &asked.answer {
            Ok((status, took)) => {
                let name = |id: u64| {
                    let member = status.members.iter().find(|member| member.raft_id == id);
                    (id > 0).then(|| member.map_or_else(|| id.to_string(), |member| member.name.clone()))
                };
                Self {
                    addr,
                    answers: true,
                    member: name(status.answered_by),
                    version: some(&status.version),
                    latency_us: u64::try_from(took.as_micros()).ok(),
                    leader: name(status.leader),
                    ready: Some(status.not_ready_reason.is_empty()),
                    cluster_id: some(&status.cluster_id),
                    error: None,
                }
            }
            Err(error) => Self {
                addr,
                answers: false,
                member: None,
                version: None,
                latency_us: None,
                leader: None,
                ready: None,
                cluster_id: None,
                error: Some(error.clone()),
            },
        }
    }
}

impl Answer for Tested {
    type Document = TestedJson;

    fn document(&self) -> TestedJson {
        TestedJson { context: self.context.clone(), addresses: self.addresses.iter().map(AskedJson::from).collect() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.document().addresses.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        self.addresses.iter().filter(|asked| asked.answer.is_ok()).map(|asked| asked.address.clone()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |asked: AskedJson| {
            let stands = match (asked.answers, asked.ready) {
                (false, _) => format!("no answer: {}", asked.error.unwrap_or_default()),
                (true, Some(false)) => "not ready".to_owned(),
                (true, _) => "ready".to_owned(),
            };
            let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            let latency = asked.latency_us.map(three_digits);
            vec![asked.addr, or(asked.member), or(asked.version), or(latency), or(asked.leader), stands, or(asked.cluster_id)]
        };
        let columns = [
            column("ADDRESS"),
            column("MEMBER"),
            column("VERSION"),
            column("LATENCY"),
            column("LEADER"),
            column("STATUS"),
            wide("CLUSTER"),
        ];
        table(view, &columns, self.document().addresses.into_iter().map(row))
    }
}
