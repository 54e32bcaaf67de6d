//! `graft context list`

use schemars::JsonSchema;
use serde::Serialize;

use crate::contexts::{Contexts, Store};
use crate::error::CliResult;
use crate::output::json::Document;
use crate::output::style::Line;
use crate::output::table::{column, table};
use crate::output::{Answer, Output, View, compact, note};

/// Lists contexts.
pub(crate) fn run(output: Output) -> CliResult {
    let store = Store::find()?;
    let (contexts, _) = store.read()?;
    let is_empty = contexts.contexts.is_empty();
    output.show(&Listed(contexts))?;
    if is_empty && output.is_for_people() {
        note("There is no context. Note one with: graft context add NAME --addr URL");
    }
    Ok(())
}

struct Listed(Contexts);

#[derive(Serialize, JsonSchema)]
pub(crate) struct ContextsJson {
    contexts: Vec<ContextJson>,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct ContextJson {
    name: String,
    addr: String,
    namespace: String,
    current: bool,
}

impl Document for ContextsJson {
    const KIND: &'static str = "ContextList";
}

impl Document for ContextJson {
    const KIND: &'static str = "Context";
}

impl Answer for Listed {
    type Document = ContextsJson;

    fn document(&self) -> ContextsJson {
        let Self(contexts) = self;
        let context = |(name, context): (&String, &crate::contexts::Context)| ContextJson {
            name: name.clone(),
            addr: context.addr.clone(),
            namespace: context.namespace.clone().unwrap_or_else(|| graft_client::NAMESPACE_DEFAULT.to_owned()),
            current: contexts.current.as_ref() == Some(name),
        };
        ContextsJson { contexts: contexts.contexts.iter().map(context).collect() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.document().contexts.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        self.0.contexts.keys().cloned().collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |context: ContextJson| {
            vec![if context.current { "*".to_owned() } else { String::new() }, context.name, context.addr, context.namespace]
        };
        table(
            view,
            &[column("CURRENT"), column("NAME"), column("ADDRESS"), column("NAMESPACE")],
            self.document().contexts.into_iter().map(row),
        )
    }
}
