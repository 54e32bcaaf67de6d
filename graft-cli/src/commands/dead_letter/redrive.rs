//! `graft dead-letter redrive`

use super::{Call, Meant, bulk, meant, only, planned};
use crate::cli::task::Redrive;
use crate::commands::workflow::ended;
use crate::commands::workflow::start::{document, object};
use crate::commands::{Session, task};
use crate::error::{CliError, CliResult};
use crate::output::task::{Done, What};

/// Gives dead letters another chance. One that is named is redriven at once: it can be given up again.
pub(crate) async fn run(session: &Session, args: &Redrive) -> CliResult {
    let config = args.config.as_ref().map(|text| document("--config", text)).transpose()?;
    let patch = args.state_patch.as_ref().map(|text| object("--state-patch", text, "a merge patch")).transpose()?;
    let how = |dry_run: bool| {
        let mut redrive = graft_client::Redrive::new().reason(&args.which.reason).dry_run(dry_run);
        if let Some(config) = &config {
            redrive = redrive.config_json(config.clone());
        }
        if let Some(patch) = &patch {
            redrive = redrive.state_patch_json(patch.clone());
        }
        redrive
    };
    let one = match meant(&args.which, What::Redrive)? {
        Meant::One(one) => one,
        Meant::Many(_) if args.waiting.wait.is_some() => {
            return Err(CliError::Usage("--wait waits for one workflow: name the dead letter, WORKFLOW/TASK".into()));
        }
        Meant::Many(filter) => {
            let all = |dry_run: bool| how(dry_run).limit(args.which.limit.unwrap_or_default()).cursor(&args.which.cursor);
            let call = async |call| match call {
                Call::All { dry_run } => Ok(session.client.redrive_all(filter.clone(), all(dry_run)).await?),
                Call::These(names) => Ok(session.client.redrive_several(names, how(false)).await?),
            };
            return bulk(session, &args.which, What::Redrive, call).await;
        }
    };
    let dry_run = args.which.consent.dry_run;
    let outcome = task::handle(session, one).redrive(how(dry_run)).await?;
    let run = outcome.run;
    let answer = only(outcome, dry_run);
    match args.waiting.wait {
        _ if dry_run => planned(session, What::Redrive, answer),
        Some(wait) => ended(session, &session.client.workflow(&one.workflow).run(run), wait, &[]).await,
        None => session.output.show(&Done { answer, what: What::Redrive }),
    }
}
