//! Limits, for programs and for people.

use graft_client::proto::Limit;
use graft_client::{LimitChange, LimitsOfNodes};
use graft_proto::documents;

use super::style::{Line, Tone};
use super::table::{column, table};
use super::{Answer, View, compact};
use crate::error::CliResult;

/// What stands for the whole cluster where a node would stand.
const CLUSTER: &str = "(cluster)";

impl Answer for LimitsOfNodes {
    type Document = documents::LimitList;

    fn document(&self) -> documents::LimitList {
        let limits = self.limits.iter().map(|limit| documents::Limit::of(limit, self.live)).collect();
        documents::LimitList { live: self.live, limits, next_cursor: None }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.limits.iter().map(|limit| compact(&documents::Limit::of(limit, self.live))).collect()
    }

    fn names(&self) -> Vec<String> {
        self.limits.iter().filter(|limit| !limit.node.is_empty()).map(|limit| limit.node.clone()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let count = |count: u32| if count == 0 { "-".to_owned() } else { count.to_string() };
        let live = |count: u64| if self.live { count.to_string() } else { "?".to_owned() };
        let row = |limit: &Limit| {
            let (node, namespace) = match limit.node.as_str() {
                "" => (CLUSTER.to_owned(), "-".to_owned()),
                node => (node.to_owned(), limit.namespace.clone()),
            };
            vec![node, namespace, count(limit.max), count(limit.declared), live(limit.held), live(limit.waiting)]
        };
        let columns = [column("NODE"), column("NAMESPACE"), column("MAX"), column("DECLARED"), column("HELD"), column("WAITING")];
        table(view, &columns, self.limits.iter().map(row))
    }
}

/// What stood before, and what stands now.
pub(crate) struct Changed {
    /// The node; none for the whole cluster.
    pub(crate) node: Option<String>,
    /// The answer.
    pub(crate) change: LimitChange,
}

impl Answer for Changed {
    type Document = documents::LimitChange;

    fn document(&self) -> documents::LimitChange {
        let limit = |limit: &Option<Limit>| limit.as_ref().map(|limit| documents::Limit::of(limit, false));
        documents::LimitChange { before: limit(&self.change.before), now: limit(&self.change.now) }
    }

    fn names(&self) -> Vec<String> {
        self.node.iter().cloned().collect()
    }

    fn people(&self, _: View) -> Vec<Line> {
        let max = |limit: &Option<Limit>| match limit {
            Some(limit) if limit.max > 0 => format!("{} at once", limit.max),
            _ => "no limit".to_owned(),
        };
        let (before, now) = (max(&self.change.before), max(&self.change.now));
        let name = self.node.clone().unwrap_or_else(|| CLUSTER.to_owned());
        vec![Line::of(Tone::Strong, name).add(Tone::Plain, format!("  {now}")).add(Tone::Dim, format!("  was: {before}"))]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_nobody_knows_are_no_figures() {
        let limits = vec![
            Limit { max: 9, held: 3, ..Limit::default() },
            Limit { namespace: "default".into(), node: "pick".into(), declared: 4, waiting: 2, ..Limit::default() },
        ];
        let shown = |live| {
            let lines = LimitsOfNodes { limits: limits.clone(), live }.people(View::plain(0));
            let words = |line: &Line| line.render(false).split_whitespace().collect::<Vec<_>>().join(" ");
            (words(&lines[1]), words(&lines[2]))
        };
        assert_eq!(shown(true), ("(cluster) - 9 - 3 0".to_owned(), "pick default - 4 0 2".to_owned()));
        assert_eq!(shown(false), ("(cluster) - 9 - ? ?".to_owned(), "pick default - 4 ? ?".to_owned()));
    }
}
