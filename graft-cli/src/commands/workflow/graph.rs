//! `graft workflow graph`

use schemars::JsonSchema;
use serde::Serialize;

use super::handle;
use crate::cli::workflow::{Graph as Args, GraphFormat};
use crate::commands::Session;
use crate::commands::paging::PAGE_OF_ALL;
use crate::error::CliResult;
use crate::output::graph::json::GraphJson;
use crate::output::graph::{Folding, Graph, dot, mermaid, tree};
use crate::output::json::Document;
use crate::output::progress::Progress;
use crate::output::spinner::Spinner;
use crate::output::style::Line;
use crate::output::{Answer, View, time};

/// Draws what ran after what, as far as the history tells.
pub(crate) async fn run(session: &Session, args: &Args) -> CliResult {
    let workflow = handle(session, &args.target);
    let spinner = Spinner::start("reading the history");
    let mut page = workflow.history(PAGE_OF_ALL, "").await?;
    let (run, workflow) = (page.run, workflow.run(page.run));
    let (mut progress, mut events) = (Progress::default(), 0);
    loop {
        page.events.iter().for_each(|event| progress.take(event));
        events += page.events.len();
        spinner.say(|| format!("reading the history: {events} events"));
        match page.next_cursor.take() {
            Some(cursor) => page = workflow.history(PAGE_OF_ALL, &cursor).await?,
            None => break,
        }
    }
    drop(spinner);
    let graph = Graph::of(&progress, &Folding::new(&args.unfold), time::now_ms());
    let id = &args.target.id;
    match args.format {
        GraphFormat::Mermaid if session.output.is_for_people() => session.output.text(&mermaid::text(id, &graph)),
        GraphFormat::Dot if session.output.is_for_people() => session.output.text(&dot::text(id, &graph)),
        _ => session.output.show(&Drawn { id, run, graph: &graph }),
    }
}

/// A graph of a run.
struct Drawn<'a> {
    id: &'a str,
    run: u64,
    graph: &'a Graph<'a>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct DrawnJson {
    workflow_id: String,
    run: u64,
    status: &'static str,
    #[serde(flatten)]
    graph: GraphJson,
}

impl Document for DrawnJson {
    const KIND: &'static str = "WorkflowGraph";
}

impl Answer for Drawn<'_> {
    type Document = DrawnJson;

    fn document(&self) -> DrawnJson {
        let status = graft_client::status_name(self.graph.progress().status);
        DrawnJson { workflow_id: self.id.to_owned(), run: self.run, status, graph: GraphJson::of(self.graph) }
    }

    fn names(&self) -> Vec<String> {
        self.graph.nodes()
    }

    fn people(&self, _: View) -> Vec<Line> {
        tree::lines(self.id, self.graph)
    }
}
