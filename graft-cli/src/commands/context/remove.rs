//! `graft context remove`

use crate::cli::place::ContextName;
use crate::contexts::Store;
use crate::error::CliResult;
use crate::output::note;

/// Forgets a context.
pub(crate) fn run(args: &ContextName) -> CliResult {
    let store = Store::find()?;
    let (mut contexts, _) = store.read()?;
    contexts.get(&args.name)?;
    contexts.contexts.remove(&args.name);
    if contexts.current.as_ref() == Some(&args.name) {
        contexts.current = None;
        note("It was the current one; there is none now.");
    }
    store.write(&contexts)
}
