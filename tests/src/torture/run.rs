//! A whole run: build the cluster, load it, break it, heal it, judge it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;

use super::arena::Arena;
use super::judge::{Evidence, judge};
use super::ledger;
use super::load::{REQUEST_TIMEOUT, Shared, help, start_workflows};
use super::nemesis;
use super::plan::Asked;
use super::power_cuts;
use super::registers::{Found, MADE, use_registers};
use super::replicas::compare;
use super::report::{Linearizability, Report};
use super::settle::{END_WITHIN, read_all, settle};
use crate::bridge::Bridge;

/// Workflows that wait for an operator to look at them.
const TO_HELP: usize = 1_024;
/// How long the load goes on once everything is healed.
const AFTER: Duration = Duration::from_secs(2);

/// Where logs and data lie, and whether they stay.
enum Place {
    Asked(PathBuf),
    Temporary(tempfile::TempDir),
}

impl Place {
    fn of(asked: &Asked) -> Result<Self, String> {
        match &asked.dir {
            Some(dir) => {
                fs::create_dir_all(dir).map_err(|error| format!("--dir {}: {error}", dir.display()))?;
                // An earlier ledger would be read as executions of this run.
                match fs::read_dir(dir).map(|mut entries| entries.next().is_none()) {
                    Ok(true) => Ok(Self::Asked(dir.clone())),
                    Ok(false) => Err(format!("--dir {}: it is not empty", dir.display())),
                    Err(error) => Err(format!("--dir {}: {error}", dir.display())),
                }
            }
            None => tempfile::Builder::new()
                .prefix("graft-torture-")
                .tempdir()
                .map(Self::Temporary)
                .map_err(|error| format!("a temporary directory: {error}")),
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Asked(dir) => dir,
            Self::Temporary(dir) => dir.path(),
        }
    }

    /// What is left of it.
    fn leave(self, keep: bool) -> Option<String> {
        match self {
            Self::Asked(dir) => Some(dir.display().to_string()),
            Self::Temporary(dir) if keep => Some(dir.keep().display().to_string()),
            Self::Temporary(_) => None,
        }
    }
}

/// Runs what is asked for, on these machines if there are any.
///
/// # Errors
/// The cluster could not even be built, or could not be read in the end: there is no verdict then.
pub async fn run(asked: &Asked, bridge: Option<Bridge>) -> Result<Report, String> {
    let place = Place::of(asked)?;
    match inside(asked, bridge, place.path()).await {
        Ok(mut report) => {
            report.kept_in = place.leave(!report.is_clean());
            Ok(report)
        }
        Err(why) => Err(format!("{why}\nlogs and data: {}", place.leave(true).unwrap_or_default())),
    }
}

async fn inside(asked: &Asked, bridge: Option<Bridge>, dir: &Path) -> Result<Report, String> {
    let mut arena = Arena::prepare(asked, bridge, dir)?;
    arena.start().await?;
    let shared = Arc::new(Shared::new(arena.clients(REQUEST_TIMEOUT), asked.seed));
    let registers = Arc::new(Found::default());
    let (to_help, helping) = mpsc::channel(TO_HELP);
    let mut load = vec![tokio::spawn(start_workflows(shared.clone(), asked.rate, to_help)), tokio::spawn(help(shared.clone(), helping))];
    load.extend(MADE.map(|made| tokio::spawn(use_registers(shared.clone(), made, registers.clone()))));

    let done = match asked.power_cuts {
        None => nemesis::run(&mut arena, &shared, asked).await,
        Some(cuts) => power_cuts::run(&mut arena, &shared, asked, cuts).await,
    };
    // The load outlives the faults, so that what has been healed is used as well.
    let mut not_ready: Vec<String> = arena.all_ready(END_WITHIN).await.err().into_iter().collect();
    not_ready.append(&mut arena.complaints);
    arena.pass(AFTER).await;
    let stalls = shared.stalls.measured();
    shared.end();
    for part in load {
        part.await.map_err(|error| format!("a part of the load: {error}"))?;
    }
    let settled = settle(&mut arena, &shared).await;

    let starts = shared.oracle.starts();
    let found = read_all(&shared, &starts).await.map_err(|why| format!("what is there cannot be read: {why}"))?;
    (0..arena.workers.len()).for_each(|at| arena.kill_worker(at));
    let replicas = compare(&mut arena, dir).await;
    let violations = std::mem::take(&mut *registers.violations.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    for (at, (why, operations)) in violations.iter().enumerate() {
        let lines: Vec<String> = operations.iter().map(|operation| format!("{operation:?}")).collect();
        fs::write(dir.join(format!("history-{at}")), format!("{why}\n{}\n", lines.join("\n"))).map_err(|error| error.to_string())?;
    }
    let evidence = Evidence {
        seed: asked.seed,
        patches: shared.oracle.patches(),
        contradictions: shared.oracle.contradictions(),
        halts: shared.oracle.halts(),
        cancels: shared.oracle.cancels(),
        rows: ledger::read(&arena.ledger(), shared.since_ms).map_err(|error| format!("the ledger: {error}"))?,
        not_linearizable: violations.into_iter().map(|(why, _)| why).collect(),
        exits: std::mem::take(&mut arena.exits),
        replicas_wrong: replicas.wrong.clone(),
        not_ready,
        starts,
        found,
    };
    let verdict = judge(&evidence);
    let number = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Report {
        acknowledged: verdict.acknowledged,
        completed: verdict.completed,
        lost: verdict.lost.len() as u64,
        duplicated: verdict.duplicated.len() as u64,
        stuck: verdict.stuck.len() as u64,
        violations: verdict.violations.len() as u64,
        longest_stall_ms: stalls.longest.as_millis() as u64,
        longest_stall_ms_by_fault: stalls.by_kind.iter().map(|(kind, longest)| ((*kind).to_owned(), longest.as_millis() as u64)).collect(),
        longest_outage_ms: stalls.longest_outage.as_millis() as u64,
        faults: done.faults.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        faults_not_done: done.not_done.iter().map(|(kind, count)| ((*kind).to_owned(), *count)).collect(),
        rounds: done.rounds,
        seed: asked.seed,
        members: asked.members,
        minutes: asked.time.as_secs_f64() / 60.0,
        starts_unknown: verdict.unknown.0,
        starts_unknown_in_effect: verdict.unknown.1,
        starts_refused: verdict.refused,
        repeats_answered_alike: number(&shared.repeats),
        patches_acknowledged: evidence.patches.len() as u64,
        pauses_acknowledged: evidence.halts.iter().filter(|halt| halt.until_ms.is_some()).count() as u64,
        cancels_acknowledged: evidence.halts.iter().filter(|halt| halt.until_ms.is_none()).count() as u64,
        cancelled: verdict.cancelled,
        narrow_executions: evidence.rows.iter().filter(|row| row.ended_ms.is_some()).count() as u64,
        held_back: number(&shared.held_back),
        reads: number(&shared.reads),
        steps: verdict.executions.saturating_sub(verdict.extra_executions),
        executions: verdict.executions,
        extra_executions: verdict.extra_executions,
        linearizability: Linearizability {
            histories: number(&registers.histories),
            operations: number(&registers.operations),
            unknown: number(&registers.unknown),
            undecided: number(&registers.undecided),
            violations: evidence.not_linearizable.len() as u64,
        },
        replicas,
        faults_impossible: asked.impossible.clone(),
        leader_changes: arena.leader_changes,
        exits_excused: evidence.exits.iter().filter(|exit| exit.excused).count() as u64,
        exits_unexplained: evidence.exits.iter().filter(|exit| !exit.excused).count() as u64,
        settled_ms: settled.as_millis() as u64,
        wrong: Report::sentences(&[
            ("lost", &verdict.lost),
            ("duplicated", &verdict.duplicated),
            ("stuck", &verdict.stuck),
            ("violation", &verdict.violations),
        ]),
        slow: done.slow,
        kept_in: None,
        command: asked.command(),
    })
}
