//! Verbs of `graft context`. They work on the file of contexts; only `test` asks a cluster.
mod add;
pub(crate) mod list;
mod remove;
mod select;
pub(crate) mod test;

use crate::cli::Global;
use crate::cli::place::Context;
use crate::error::CliResult;
use crate::output::Output;

/// Does what was asked.
pub(super) async fn run(global: &Global, output: Output, verb: Context) -> CliResult {
    match verb {
        Context::Add(args) => add::run(global, &args),
        Context::Use(args) => select::run(&args),
        Context::List => list::run(output),
        Context::Test(args) => test::run(global, output, &args).await,
        Context::Remove(args) => remove::run(&args),
    }
}
