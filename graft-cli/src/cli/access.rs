//! Verbs about who may do what: tokens, who you are, and what administrators did.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::value;
use super::which::{Page, Watching};

/// Verbs of `graft token`.
#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Make a token and print it; its secret is shown this once. It grants no more than you may do yourself.
    #[command(
        after_help = "A grant is ROLE[@NAMESPACE[=NODE,NODE...]]; without a namespace it holds in all of them, and * stands for any part of a name.\n\
        Roles: viewer sees; operator also starts, steers and repairs workflows; worker executes nodes and nothing else; namespace-admin also\n\
        sets limits and makes tokens for its namespace; cluster-admin does everything.\n\
        Examples:\n  graft token create billing --grant operator@billing > billing.token\n  \
        graft token create charger --grant 'worker@billing=charge,refund-*' --ttl 30d > charger.token\n  \
        graft token create ci --grant viewer --grant operator@staging -o json | jq -r .secret"
    )]
    Create(TokenCreate),
    /// List tokens that you could have made.
    #[command(after_help = "Examples:\n  graft token list\n  graft token list --all -o name")]
    List(TokenList),
    /// Take a token away: nobody is let in with it from then on.
    #[command(after_help = "Example:\n  graft token revoke 3f9c0d1e2a4b")]
    Revoke(TokenId),
}

/// Arguments of `graft token create`.
#[derive(Debug, Args)]
pub(crate) struct TokenCreate {
    /// What its holder is called in histories: letters, digits and - _ . : /
    #[arg(value_name = "NAME", value_parser = value::named)]
    pub(crate) name: String,
    /// What it allows, such as operator@billing; may be given again.
    #[arg(long = "grant", value_name = "GRANT", required = true)]
    pub(crate) grants: Vec<String>,
    /// Of no use after so long (at most 3650d) [default: 90d].
    #[arg(long, value_parser = value::some_time, value_name = "DURATION")]
    pub(crate) ttl: Option<Duration>,
}

/// Arguments of `graft token list`.
#[derive(Debug, Args)]
pub(crate) struct TokenList {
    /// Which page.
    #[command(flatten)]
    pub(crate) page: Page,
    /// Whether the look becomes a watch.
    #[command(flatten)]
    pub(crate) watching: Watching,
}

/// Which token.
#[derive(Debug, Args)]
pub(crate) struct TokenId {
    /// Its id, as `graft token list` shows it.
    #[arg(value_name = "ID", value_parser = value::named)]
    pub(crate) id: String,
}

/// Arguments of `graft audit`.
#[derive(Debug, Args)]
pub(crate) struct Audit {
    /// At most so many, up to 1000.
    #[arg(long, value_name = "COUNT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Only what was done before the act of this number.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) before: Option<u64>,
}
