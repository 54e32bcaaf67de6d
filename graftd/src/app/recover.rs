//! `graftd recover`: opens one survivor's data, says what is there, and makes it the only member in a later epoch.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use super::error::{EXIT_CONFIG, EXIT_FATAL, StartError};
use super::{host_name, options};
use crate::config::{Config, Flags, RecoverArgs, Sources, load};
use crate::consensus::{MemberInfo, Survey, Survivor};
use crate::discovery::data_dir::DataDir;
use crate::discovery::records::Marker;
use crate::storage::{Disk, LogStore, StateStore};

/// Does it, or says what it would be.
pub fn recover(flags: &Flags, args: &RecoverArgs, disk: &Arc<dyn Disk>) -> ExitCode {
    let config = match load(flags, &Sources::of_process()).and_then(|loaded| loaded.accepted()) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("graftd: the configuration is refused\n{error}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    match attempt(&config, args, disk) {
        Ok(told) => {
            let mut out = std::io::stdout();
            let _ = out.write_all(told.as_bytes()).and_then(|()| out.flush());
            ExitCode::SUCCESS
        }
        Err(Refused { exit_code, why }) => {
            eprintln!("graftd: {why}");
            ExitCode::from(exit_code)
        }
    }
}

struct Refused {
    exit_code: u8,
    why: String,
}

impl From<StartError> for Refused {
    fn from(error: StartError) -> Self {
        Self { exit_code: error.exit_code(), why: error.to_string() }
    }
}

fn attempt(config: &Config, args: &RecoverArgs, disk: &Arc<dyn Disk>) -> Result<String, Refused> {
    let data_dir = &config.node.data_dir;
    let refused = |why: String| Refused { exit_code: EXIT_CONFIG, why };
    // A directory that is not there would be made, and that is not what anybody wants here.
    if !data_dir.is_dir() {
        return Err(refused(format!(
            "data directory {}: it does not exist\n  → name the survivor's with --data-dir or --config",
            data_dir.display()
        )));
    }
    let (data_dir, contents) =
        DataDir::open(data_dir, config.node.name.as_deref(), &host_name(), &config.cluster.name).map_err(StartError::from)?;
    if contents.left.is_some() {
        let why = "its member has left its cluster for good, and what it has is of before\n  → name a survivor's; only if there is none, remove `left.json` from it";
        return Err(refused(format!("data directory {}: {why}", data_dir.path().display())));
    }
    let Some(marker) = contents.marker else {
        let why = "it is not part of a cluster, so there is none to recover\n  → name a survivor's with --data-dir or --config";
        return Err(refused(format!("data directory {}: {why}", data_dir.path().display())));
    };
    let failed = |error: &dyn std::fmt::Display| Refused { exit_code: EXIT_FATAL, why: format!("failed to open the data: {error}") };
    let state = StateStore::open_on(disk.clone(), &data_dir.state_path(), options::state(config), None).map_err(|error| failed(&error))?;
    let (log, recovered) = LogStore::open_on(&**disk, &data_dir.log_path(), options::log(config), None).map_err(|error| failed(&error))?;
    state.claim(marker.raft_id).and_then(|()| log.claim(marker.raft_id)).map_err(|error| failed(&error))?;
    let outcome = Survivor::examine(&state, log.clone(), recovered).map_err(|error| failed(&error)).and_then(|survivor| {
        let survey = survivor.survey();
        if !args.yes {
            let end = match args.dry_run {
                true => "Nothing was changed.".to_owned(),
                false => return Err(refused(format!("{}\nNothing was changed: to go on alone, say --yes", told(survey, &marker)))),
            };
            return Ok(format!("{}\n{end}\n", told(survey, &marker)));
        }
        let known = survey.members.iter().find(|member| member.raft_id == marker.raft_id);
        let me =
            known.cloned().unwrap_or_else(|| MemberInfo { raft_id: marker.raft_id, name: marker.member.clone(), ..MemberInfo::default() });
        survivor.take_over(&me).map_err(|error| failed(&error))?;
        let later = Marker { epoch: marker.epoch + 1, ..marker.clone() };
        data_dir.write_marker(&later).map_err(|error| failed(&error))?;
        let left: Vec<&str> =
            survey.members.iter().filter(|member| member.raft_id != me.raft_id).map(|member| member.name.as_str()).collect();
        Ok(format!(
            "{}\nThis member is the only one now, in epoch {}. Start it; then start {} with empty data directories, and they join.\n",
            told(survey, &marker),
            later.epoch,
            if left.is_empty() { "others".to_owned() } else { left.join(", ") },
        ))
    });
    state.close();
    log.close();
    outcome
}

fn told(survey: &Survey, marker: &Marker) -> String {
    let member = |member: &MemberInfo| {
        let role = if survey.voters.contains(&member.raft_id) { "voter" } else { "learner" };
        let this = if member.raft_id == marker.raft_id { ", this one" } else { "" };
        format!("  {} ({role}, raft id {}{this})", member.name, member.raft_id)
    };
    let members: Vec<String> = survey.members.iter().map(member).collect();
    format!(
        "cluster   {} ({}) in epoch {}\nlast      term {}, index {}\nmembers\n{}",
        marker.cluster_name,
        marker.cluster_id,
        marker.epoch,
        survey.last_term,
        survey.last_index,
        members.join("\n")
    )
}
