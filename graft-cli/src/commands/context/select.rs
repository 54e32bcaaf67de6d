//! `graft context use`

use crate::cli::place::ContextName;
use crate::contexts::Store;
use crate::error::CliResult;
use crate::output::note;

/// Makes a context the current one.
pub(crate) fn run(args: &ContextName) -> CliResult {
    let store = Store::find()?;
    let (mut contexts, _) = store.read()?;
    let addr = contexts.get(&args.name)?.addr.clone();
    contexts.current = Some(args.name.clone());
    store.write(&contexts)?;
    note(&format!("Commands go to {addr} now, unless --addr, --context or the environment say otherwise."));
    Ok(())
}
