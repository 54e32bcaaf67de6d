//! `graft context add`

use crate::cli::Global;
use crate::cli::place::ContextAdd;
use crate::commands::client;
use crate::contexts::{Context, Place, Secured, Store, absolute, checked_name};
use crate::error::{CliError, CliResult};
use crate::output::note;

/// Notes a context.
pub(crate) fn run(global: &Global, args: &ContextAdd) -> CliResult {
    checked_name(&args.name)?;
    let name = &args.name;
    let addr = global.addr.clone().filter(|addr| !addr.trim().is_empty());
    let addr = addr.ok_or_else(|| CliError::Usage(format!("say where {name:?} is: graft context add {name} --addr URL")))?;
    // An address that is none, or a file that does not fit, is refused now, not when it is needed.
    let tls = Secured::of_flags(&global.tls).absolute()?;
    let token_file = absolute(global.token_file.clone())?;
    let namespace = global.namespace.clone();
    let place = Place {
        addr: addr.clone(),
        namespace: namespace.clone().unwrap_or_default(),
        tls: tls.clone(),
        token_file: token_file.clone(),
        context: None,
        is_named: true,
    };
    client(&place, global.timeout)?;
    let store = Store::find()?;
    let (mut contexts, _) = store.read()?;
    if contexts.contexts.contains_key(name) && !args.replace {
        return Err(CliError::Conflict(format!(
            "context \"{name}\" exists already: {}\n  Put another in its place with --replace.",
            contexts.get(name)?.addr
        )));
    }
    contexts.contexts.insert(name.clone(), Context { addr, namespace, token_file, tls });
    if args.make_current {
        contexts.current = Some(name.clone());
    }
    store.write(&contexts)?;
    note(&format!("Context \"{name}\" is noted in {}.", store.path().display()));
    if contexts.current.as_ref() != Some(name) {
        note(&format!("Use it with --context {name}, or for good with: graft context use {name}"));
    }
    Ok(())
}
