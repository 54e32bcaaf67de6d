//! The cluster that is tortured: its members and workers, what is wrong with each at the moment, and whoever starts again what has ended.
//!
//! A member that ends by itself is started again, as a supervisor would do it. Whether it had a reason (a full disk, its removal) or none is
//! kept: without one, that is a violation of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use graft_client::Client;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use xxhash_rust::xxh3::xxh3_64;

use super::plan::{Asked, Kind, Planted, Victim};
use super::wall_clock;
use crate::bridge::{Bridge, Machine};
use crate::member::{Member, Trust, free_port};
use crate::small_disk::SmallDisk;
use crate::{AS, binary, http, power};

/// What the torture's own binary is when it is a worker.
pub const WORKER: &str = "torture-worker";

/// Attempt lease: short, so that a worker that is stopped for some seconds is a zombie when it wakes.
const LEASE: &str = "3s";
/// Longest formation of the cluster.
const FORMED_WITHIN: Duration = Duration::from_secs(60);
/// Longest wait of an operator for an answer.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(5);
/// Entries that are kept in the log below a snapshot: at least, and for each minute of a run. The state grows all the time, and with it the time that
/// a member takes to install it, in which leaders change.
const LOG_KEEP_LEAST: u64 = 2_000;
const LOG_KEEP_PER_MINUTE: u64 = 500;
/// Size of a member's own file system. What is not used of it costs nothing.
const DISK_MEBIBYTES: u32 = 8_192;
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Time between two starts of a member that ends again and again.
const RESTART_EVERY: Duration = Duration::from_millis(500);
/// Lines of a member's log that are kept of an exit.
const LAST_WORDS: usize = 6;

/// A member, and what is wrong with it.
#[derive(Debug)]
pub struct Fighter {
    /// The member.
    pub member: Member,
    /// Whether it is to run.
    pub wanted: bool,
    /// Faults that keep it from doing its work.
    pub broken: BTreeSet<Kind>,
    /// It has not come back from the last ones yet: a large state takes its time to arrive.
    pub behind: bool,
    /// Exit codes that it has a reason for, and until when; none: until that is changed.
    excused: BTreeMap<i32, Option<Instant>>,
    /// The file system of its data, if that is one of its own.
    pub disk: Option<SmallDisk>,
    /// Whether it has ended because it was taken out of the cluster.
    pub removed: bool,
    restarted: Instant,
}

impl Fighter {
    /// Gives its disk all its room.
    pub fn make_room(&self) {
        if let Some(disk) = &self.disk {
            disk.grow_to(DISK_MEBIBYTES);
        }
    }
}

/// A worker process.
#[derive(Debug)]
pub struct WorkerSlot {
    /// Its name.
    pub name: String,
    /// The process, if it runs.
    process: Option<Child>,
    /// Whether it is stopped or cut off.
    pub broken: bool,
}

/// The end of a process that nobody had asked to end.
#[derive(Clone, Debug)]
pub struct Exit {
    /// Whose.
    pub member: String,
    /// Its exit code; none: a signal.
    pub code: Option<i32>,
    /// The fault that explains it.
    pub excused: bool,
    /// What it said last.
    pub last_words: String,
}

/// See the module.
#[derive(Debug)]
pub struct Arena {
    /// The members.
    pub fighters: Vec<Fighter>,
    /// The workers.
    pub workers: Vec<WorkerSlot>,
    /// Ends that nobody asked for.
    pub exits: Vec<Exit>,
    /// How often the leader was another one than before.
    pub leader_changes: u64,
    /// What should have come about and did not, in sentences.
    pub complaints: Vec<String>,
    last_leader: Option<usize>,
    size: usize,
    minority: usize,
    bridge: Option<Bridge>,
    /// Whether disks say that they have synced, and have not.
    lying: bool,
    since: Instant,
    dir: PathBuf,
}

/// The machines of a run whose faults need a network: one for each member, one for each worker, and one for the torture itself, which it enters. To be
/// called before there is any other thread.
///
/// # Errors
/// It may not enter.
pub fn network(asked: &Asked) -> Result<Option<Bridge>, String> {
    if !asked.kinds.iter().any(|kind| kind.needs_network()) {
        return Ok(None);
    }
    Bridge::around(asked.members + usize::from(asked.has_spare()) + asked.workers).map(Some)
}

impl Arena {
    /// Writes what members need; starts nothing.
    ///
    /// # Errors
    /// Something cannot be made here.
    pub fn prepare(asked: &Asked, bridge: Option<Bridge>, dir: &Path) -> Result<Self, String> {
        let address = |at: usize| match &bridge {
            None => (format!("127.0.0.1:{}", free_port()), format!("127.0.0.1:{}", free_port())),
            Some(bridge) => (format!("{}:7420", bridge.machines()[at].ip), format!("{}:7421", bridge.machines()[at].ip)),
        };
        // The last one may be one that joins later.
        let prepared = asked.members + usize::from(asked.has_spare());
        let addresses: Vec<(String, String)> = (0..prepared).map(address).collect();
        let all: Vec<(String, String)> =
            addresses.iter().enumerate().map(|(at, (_, peer))| (format!("m{}", at + 1), peer.clone())).collect();
        let cluster = &all[..asked.members];
        let trust = Trust::new();
        // Snapshots often and a short log, so that whoever was away for some seconds needs both; but no shorter than a snapshot takes, or it would need
        // the next one when it has the first.
        let beyond_loopback = if bridge.is_some() { "\n[security]\ninsecure = true\n" } else { "" };
        let reserve = if asked.kinds.contains(&Kind::DiskFull) { "\n[storage]\ndisk_reserve = \"32MiB\"\n" } else { "" };
        let log_keep = LOG_KEEP_LEAST.max(asked.time.as_secs() / 60 * LOG_KEEP_PER_MINUTE);
        let extra = format!(
            "join = \"open\"\npromote_after = \"300ms\"\nreplace_after = \"3s\"\n\n[scheduler]\nlease = {LEASE:?}\n\n\
             [raft]\nsnapshot_every = 1000\nlog_keep = {log_keep}\n\n[log]\nformat = \"text\"\n{beyond_loopback}{reserve}"
        );
        let fighters = all.iter().zip(addresses).enumerate().map(|(at, ((name, _), addresses))| {
            let mut member = Member::prepare_at(dir, name, cluster, &trust, addresses, &extra);
            if at >= asked.members {
                member.reconfigure(|text| text.replace(&format!("expect = {}\n", asked.members), "bootstrap = \"manual\"\n"));
            }
            if let Some(bridge) = &bridge {
                member = member.on(&bridge.machines()[at]);
            }
            // Whoever kills it takes its power.
            member.set_variable(power::DISK, "lossy");
            member.set_variable(power::SEED, (asked.seed ^ xxh3_64(name.as_bytes())).to_string());
            member.set_variable(power::CONTROL, control(&member).to_str().expect("utf-8"));
            Fighter {
                member,
                wanted: false,
                broken: BTreeSet::new(),
                behind: false,
                excused: BTreeMap::new(),
                disk: None,
                removed: false,
                restarted: Instant::now(),
            }
        });
        let mut fighters: Vec<Fighter> = fighters.collect();
        for fighter in &mut fighters {
            if asked.kinds.contains(&Kind::DiskFull) {
                fighter.disk = Some(SmallDisk::mount(fighter.member.data_dir(), DISK_MEBIBYTES)?);
            }
            if asked.kinds.contains(&Kind::Clock) {
                wall_clock::wear(&mut fighter.member)?;
            }
        }
        Ok(Self {
            fighters,
            bridge,
            lying: asked.planted == Some(Planted::LyingDisk),
            since: Instant::now(),
            workers: (1..=asked.workers).map(|at| WorkerSlot { name: format!("w{at}"), process: None, broken: false }).collect(),
            exits: Vec::new(),
            leader_changes: 0,
            complaints: Vec::new(),
            last_leader: None,
            size: asked.members,
            minority: asked.minority(),
            dir: dir.to_owned(),
        })
    }

    /// Starts everything, and waits until the members are ready.
    ///
    /// # Errors
    /// They are not, in a time that is long enough.
    pub async fn start(&mut self) -> Result<(), String> {
        (0..self.size).for_each(|at| self.start_member(at));
        self.all_ready(FORMED_WITHIN).await?;
        if self.lying {
            (0..self.size).for_each(|at| self.slow_disk(at, Duration::ZERO));
        }
        (0..self.workers.len()).for_each(|at| self.start_worker(at));
        Ok(())
    }

    /// URLs of all members, comma-separated.
    pub fn urls(&self) -> String {
        self.fighters[..self.size].iter().map(|fighter| fighter.member.url()).collect::<Vec<_>>().join(",")
    }

    /// A client for each member, which asks that one first but knows all.
    pub fn clients(&self, timeout: Duration) -> Vec<Client> {
        let mut urls: Vec<String> = self.fighters[..self.size].iter().map(|fighter| fighter.member.url()).collect();
        let client = |_| {
            let client = Client::builder(urls.clone()).request_timeout(timeout).build().expect("valid addresses");
            urls.rotate_left(1);
            client
        };
        self.fighters[..self.size].iter().map(client).collect()
    }

    /// A client that asks this member, for whoever operates the cluster.
    pub fn operator(&self, at: usize) -> Client {
        let url = self.fighters[at].member.url();
        Client::builder(url.as_str()).request_timeout(OPERATOR_PATIENCE).build().expect("a valid address")
    }

    /// A client that asks whoever answers, for whoever operates the cluster.
    pub fn anybody(&self) -> Client {
        Client::builder(self.urls().as_str()).request_timeout(OPERATOR_PATIENCE).build().expect("valid addresses")
    }

    /// Members of the cluster, but for one that joins and leaves again.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The one that is not there yet, if there is one.
    pub fn spare(&self) -> Option<usize> {
        (self.size..self.fighters.len()).find(|at| !self.fighters[*at].wanted)
    }

    /// Ends a member that was taken out, if it has not ended by itself.
    pub fn retire(&mut self, at: usize) {
        self.kill_member(at);
        self.fighters[at].broken.clear();
    }

    /// Takes a member's disk and gives it an empty one. It does not run.
    pub fn empty_disk(&mut self, at: usize) {
        let fighter = &mut self.fighters[at];
        assert!(!fighter.member.runs(), "{} runs", fighter.member.name);
        fighter.removed = false;
        fighter.make_room();
        for entry in fs::read_dir(fighter.member.data_dir()).into_iter().flatten().flatten() {
            fs::remove_file(entry.path()).expect("a data directory holds files");
        }
    }

    /// Lets a member end with these codes, for so long; `None`: until it is said otherwise.
    pub fn excuse(&mut self, at: usize, codes: &[i32], time: Option<Duration>) {
        let until = time.map(|time| Instant::now() + time);
        self.fighters[at].excused.extend(codes.iter().map(|code| (*code, until)));
    }

    /// Where executions are written.
    pub fn ledger(&self) -> PathBuf {
        self.dir.join("ledger")
    }

    /// The machine of a member, if it has one.
    pub fn machine(&self, at: usize) -> Option<&Machine> {
        self.bridge.as_ref().map(|bridge| &bridge.machines()[at])
    }

    /// The machine of a worker, if it has one.
    pub fn worker_machine(&self, at: usize) -> Option<&Machine> {
        self.machine(self.fighters.len() + at)
    }

    /// Makes every sync of a member take so long from now on.
    pub fn slow_disk(&self, at: usize, sync: Duration) {
        // It is read at every sync, and a part of a line must not be.
        let control = control(&self.fighters[at].member);
        let lies = if self.lying { "lies\n" } else { "" };
        let written = fs::write(control.with_extension("next"), format!("sync_ms={}\n{lies}", sync.as_millis()));
        written.and_then(|()| fs::rename(control.with_extension("next"), control)).expect("the control file is written");
    }

    /// Starts a member that is to run from now on.
    pub fn start_member(&mut self, at: usize) {
        let fighter = &mut self.fighters[at];
        fighter.wanted = true;
        // If it is still so, it ends again, and says so again.
        fighter.removed = false;
        fighter.restarted = Instant::now();
        if !fighter.member.runs() {
            fighter.member.start();
        }
    }

    /// `kill -9` of a member that is to stay dead until it is started.
    pub fn kill_member(&mut self, at: usize) {
        self.fighters[at].wanted = false;
        // It may have ended by itself a moment ago.
        self.tend();
        if self.fighters[at].member.runs() {
            self.fighters[at].member.kill();
        }
    }

    /// `kill -9` of several members, without a moment between them in which one could learn of the end of another.
    pub fn kill_at_once(&mut self, members: &[usize]) {
        for at in members {
            if let Some(id) = self.fighters[*at].member.process_id() {
                let _ = kill(Pid::from_raw(id as i32), Signal::SIGKILL);
            }
        }
        for at in members {
            let fighter = &mut self.fighters[*at];
            fighter.wanted = false;
            if fighter.member.runs() {
                fighter.member.kill();
            }
        }
    }

    /// Starts a worker.
    pub fn start_worker(&mut self, at: usize) {
        let (urls, ledger, log) = (self.urls(), self.ledger(), self.dir.join(format!("{}.log", self.workers[at].name)));
        if self.workers[at].process.is_some() {
            return;
        }
        let log = fs::File::options().create(true).append(true).open(log).expect("a log");
        let mut command = match self.worker_machine(at) {
            None => Command::new(binary(WORKER)),
            Some(machine) => machine.command(binary(WORKER)),
        };
        let slot = &mut self.workers[at];
        command.env(AS, WORKER).arg(urls).arg(&slot.name).arg(ledger).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        slot.process = Some(command.spawn().expect("the worker starts"));
    }

    /// `kill -9` of a worker.
    pub fn kill_worker(&mut self, at: usize) {
        if let Some(mut process) = self.workers[at].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// A signal to a worker.
    pub fn signal_worker(&self, at: usize, signal: Signal) {
        if let Some(process) = &self.workers[at].process {
            let _ = kill(Pid::from_raw(process.id() as i32), signal);
        }
    }

    /// Looks at what has ended by itself, keeps why, and starts it again.
    pub fn tend(&mut self) {
        let mut ended = Vec::new();
        for fighter in &mut self.fighters {
            if let Some(status) = fighter.member.take_ended() {
                let code = status.code();
                let log = fighter.member.log();
                let last: Vec<&str> = log.lines().rev().take(LAST_WORDS).collect();
                let last_words = last.into_iter().rev().collect::<Vec<_>>().join("\n");
                let excuse = fighter.excused.get(&code.unwrap_or(SIGNALLED));
                let excused = excuse.is_some_and(|until| until.is_none_or(|until| Instant::now() < until));
                if code == Some(REMOVED) {
                    // It would only end again: whoever has taken it out brings it back.
                    fighter.removed = true;
                    fighter.wanted = false;
                }
                ended.push(format!("{} ended by itself, code {code:?}, excused: {excused}", fighter.member.name));
                self.exits.push(Exit { member: fighter.member.name.clone(), code, excused, last_words });
            }
            if fighter.wanted && !fighter.member.runs() && fighter.restarted.elapsed() > RESTART_EVERY {
                fighter.restarted = Instant::now();
                fighter.member.start();
            }
        }
        ended.iter().for_each(|what| self.note(what));
        for at in 0..self.workers.len() {
            let ended = self.workers[at].process.as_mut().and_then(|process| process.try_wait().ok().flatten());
            if let Some(status) = ended {
                self.workers[at].process = None;
                let name = self.workers[at].name.clone();
                let last_words = "see its log".to_owned();
                self.exits.push(Exit { member: name, code: status.code(), excused: false, last_words });
                self.start_worker(at);
            }
        }
    }

    /// Writes down what was done, and when: whoever reads the logs of the members wants to know.
    pub fn note(&self, what: &str) {
        let line = format!("{} {:>8.3} s  {what}\n", time_of_day(), self.since.elapsed().as_secs_f64());
        let file = fs::File::options().create(true).append(true).open(self.dir.join("nemesis.log"));
        if let Err(error) = file.and_then(|mut file| file.write_all(line.as_bytes())) {
            eprintln!("nemesis.log: {error}");
        }
    }

    /// Lets time pass, tending what has ended.
    pub async fn pass(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while Instant::now() < until {
            self.tend();
            tokio::time::sleep(LOOK_EVERY.min(until.saturating_duration_since(Instant::now()))).await;
        }
    }

    /// Waits until every member that is to run says that it is ready.
    ///
    /// # Errors
    /// Who is not, and why.
    pub async fn all_ready(&mut self, within: Duration) -> Result<(), String> {
        let until = Instant::now() + within;
        loop {
            self.tend();
            let mut waits = None;
            for fighter in self.fighters.iter_mut().filter(|fighter| fighter.wanted && fighter.broken.is_empty()) {
                let said = match http::get(&fighter.member.client_address, "/readyz") {
                    Ok((200, _)) => None,
                    Ok((status, body)) => Some(format!("{status} {body}")),
                    Err(error) => Some(error.to_string()),
                };
                fighter.behind = said.is_some();
                let Fighter { member, .. } = fighter;
                let why = said.map(|said| format!("{} is not ready: {} (log: {})", member.name, said.trim(), member.log_path().display()));
                waits = waits.or(why);
            }
            match waits {
                None => return Ok(()),
                Some(why) if Instant::now() > until => return Err(format!("after {} s, {why}", within.as_secs())),
                Some(_) => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    }

    /// Who leads, asked of those that can answer.
    pub fn leader(&mut self) -> Option<usize> {
        let asked = |fighter: &Fighter| fighter.member.runs() && fighter.broken.is_empty();
        let leading = |(at, fighter): (usize, &Fighter)| {
            let [leads, term] = fighter.member.metrics(["graft_raft_is_leader", "graft_raft_term"]);
            (leads == 1.0).then_some((term as u64, at))
        };
        let leader = self.fighters.iter().enumerate().filter(|(_, fighter)| asked(fighter)).filter_map(leading).max().map(|(_, at)| at);
        if leader.is_some() && leader != self.last_leader {
            self.leader_changes += u64::from(self.last_leader.is_some());
            self.last_leader = leader;
        }
        leader
    }

    /// How many members are broken, or not back yet.
    pub fn broken(&self) -> usize {
        self.fighters.iter().filter(|fighter| !fighter.broken.is_empty() || (fighter.wanted && fighter.behind)).count()
    }

    /// Members that are broken and how, in a few words.
    pub fn who_is_broken(&self) -> String {
        let broken = self.fighters.iter().filter(|fighter| !fighter.broken.is_empty());
        let words = broken.map(|Fighter { member, broken, .. }| {
            let kinds: Vec<&str> = broken.iter().map(|kind| kind.name()).collect();
            format!("{} ({})", member.name, kinds.join(", "))
        });
        words.collect::<Vec<_>>().join(", ")
    }

    /// Whether a quorum and a worker are left.
    pub fn is_able(&self) -> bool {
        self.broken() <= self.minority && self.workers.iter().any(|worker| worker.process.is_some() && !worker.broken)
    }

    /// The member that a victim stands for: one that is whole, as long as no more than a minority is broken; or one that is broken already, in
    /// another way. `None`: there is none now.
    pub fn member_of(&mut self, victim: Victim, kind: Kind, beyond_minority: bool) -> Option<usize> {
        let more = self.broken() < self.minority || beyond_minority;
        let wanted = match victim {
            Victim::Leader => self.leader().unwrap_or(0),
            Victim::Member(at) | Victim::Worker(at) => at,
        };
        let around = || (0..self.fighters.len()).map(|by| (wanted + by) % self.fighters.len()).filter(|at| self.fighters[*at].wanted);
        let whole = || around().find(|at| self.fighters[*at].broken.is_empty() && !self.fighters[*at].behind);
        let otherwise = || around().find(|at| !self.fighters[*at].broken.is_empty() && !self.fighters[*at].broken.contains(&kind));
        if more { whole().or_else(otherwise) } else { otherwise() }
    }

    /// The worker that a victim stands for, if it is one and another one is left.
    pub fn worker_of(&self, victim: Victim) -> Option<usize> {
        let Victim::Worker(wanted) = victim else { return None };
        if self.workers.iter().filter(|worker| worker.broken).count() + 1 >= self.workers.len() {
            return None;
        }
        let around = (0..self.workers.len()).map(|by| (wanted + by) % self.workers.len());
        around.into_iter().find(|at| !self.workers[*at].broken)
    }
}

/// As the members' logs have it: UTC.
fn time_of_day() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() % 86_400);
    format!("{:02}:{:02}:{:02}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

/// The file that says how slow a member's disk is.
fn control(member: &Member) -> PathBuf {
    member.config_path().with_file_name("disk-control")
}

/// Exit code of a member that was taken out.
pub const REMOVED: i32 = 76;
/// Among the excused codes: the end by a signal.
pub const SIGNALLED: i32 = -1;

impl Drop for Arena {
    fn drop(&mut self) {
        (0..self.workers.len()).for_each(|at| self.kill_worker(at));
    }
}
