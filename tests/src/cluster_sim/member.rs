//! A member: its disk, its clocks, and a process on them, which is floors 2 to 4 of the daemon in a runtime of its own.
//!
//! A runtime has one thread and a clock that stands still: the world lets it come to each millisecond, and nothing in it happens between. So the end
//! of the process is the end of the runtime: whatever was under way is dropped where it stood.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use graft_machine::memory::Memory;
use graftd::clock::Clock;
use graftd::consensus::{Consensus, ConsensusOptions, Fatal, MemberInfo};
use graftd::observability::metrics::Metrics;
use graftd::scheduler::{Scheduler, SchedulerOptions};
use graftd::storage::{LogOptions, LogStore, StateOptions, StateStore, Work};
use graftd::tls::members::PeerSecurity;
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, advance, sleep, sleep_until};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;

use super::net::{Net, address};
use super::plan::Plan;
use super::{CLUSTER, LEASE_MS};
use crate::loop_sim::clocks::Clocks;
use crate::loop_sim::rng::Rng;
use crate::power::SimDisk;

/// As the daemon probes idle connections of members.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// The floors of a process, once they are open.
#[derive(Clone)]
pub struct Floors {
    pub state: StateStore,
    pub log: LogStore,
    pub consensus: Consensus,
    pub scheduler: Scheduler,
}

/// What a process has said.
#[derive(Default)]
struct Said {
    floors: Option<Floors>,
    /// Why it ends, or has not begun.
    over: Option<String>,
}

/// A process.
pub struct Process {
    runtime: Runtime,
    /// Where its clock stood when the world's stood at `since`.
    began: Instant,
    since: u64,
    said: Arc<Mutex<Said>>,
}

impl Process {
    /// Lets it come to `now`.
    pub fn step(&self, now: u64) {
        let until = self.began + Duration::from_millis(now - self.since);
        self.runtime.block_on(async { sleep_until(until).await });
    }

    /// It was stopped, and goes on at `now`: for it, no time has passed.
    pub fn thaw(&self, now: u64) {
        let until = self.began + Duration::from_millis(now - self.since);
        self.runtime.block_on(async { advance(until.saturating_duration_since(Instant::now())).await });
    }

    /// The floors, if they are open.
    pub fn floors(&self) -> Option<Floors> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).floors.clone()
    }

    /// Why it has to end.
    pub fn over(&self) -> Option<String> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).over.clone()
    }

    /// Does something in it, beside everything else.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        drop(self.runtime.spawn(work));
    }
}

/// A member.
pub struct Member {
    pub slot: usize,
    pub disk: SimDisk,
    pub clocks: Clocks,
    pub process: Option<Process>,
    /// When it starts again, while it is down.
    pub restart_at: u64,
    /// It is stopped (SIGSTOP) until then.
    pub frozen_until: u64,
    /// Its disk takes so long for each sync, in milliseconds, until then.
    pub slow: Arc<AtomicU64>,
    pub slow_until: u64,
    /// Its disk is full or breaks: it may end by itself, and may not come up, until then.
    pub disk_faulty_until: u64,
    /// Counts its starts.
    pub starts: u64,
    /// What its state should be: the entries of its log, applied by the machine alone.
    pub shadow: Memory,
    /// How far that has come.
    pub shadow_at: u64,
    /// Its stores have been looked at since it started.
    pub known: bool,
    /// Since when its disk has refused something.
    pub faulty_since: Option<u64>,
    /// The term in which it was last told that it leads.
    pub led: u64,
}

/// Raft id of a member.
pub fn raft_id(slot: usize) -> u64 {
    slot as u64 + 1
}

/// As the membership knows it.
pub fn info(slot: usize) -> MemberInfo {
    let raft_id = raft_id(slot);
    MemberInfo { raft_id, name: format!("member-{slot}"), peer_address: address(slot), client_address: format!("c{slot}:7001") }
}

impl Member {
    /// A member with an empty disk, which has not started.
    pub fn new(slot: usize, now: u64, rng: &mut Rng) -> Self {
        Self {
            slot,
            disk: SimDisk::default(),
            clocks: Clocks::new(slot, now, rng),
            process: None,
            restart_at: 0,
            frozen_until: 0,
            slow: Arc::default(),
            slow_until: 0,
            disk_faulty_until: 0,
            starts: 0,
            shadow: Memory::new(),
            shadow_at: 0,
            known: false,
            faulty_since: None,
            led: 0,
        }
    }

    /// The floors, if it is up and they are open.
    pub fn floors(&self) -> Option<Floors> {
        self.process.as_ref().and_then(Process::floors)
    }

    /// The process starts.
    pub fn start(&mut self, now: u64, net: &Net, plan: &Plan, rng: &mut Rng) {
        self.starts += 1;
        self.clocks.tick(now);
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime without a thread");
        let began = runtime.block_on(async { Instant::now() });
        let said = Arc::<Mutex<Said>>::default();
        let opening = Opening {
            slot: self.slot,
            disk: self.disk.clone(),
            clock: self.clocks.clock.clone(),
            slow: self.slow.clone(),
            net: net.clone(),
            plan: plan.clone(),
            rng: Rng::new(rng.next()),
        };
        let tell = said.clone();
        runtime.spawn(async move {
            let over = match opening.open().await {
                Ok(floors) => {
                    let consensus = floors.consensus.clone();
                    tell.lock().unwrap_or_else(PoisonError::into_inner).floors = Some(floors);
                    match consensus.fatal().await {
                        Fatal::Broken(why) | Fatal::TooNew(why) => why,
                    }
                }
                Err(why) => why,
            };
            tell.lock().unwrap_or_else(PoisonError::into_inner).over = Some(over);
        });
        self.process = Some(Process { runtime, began, since: now, said });
    }

    /// The process ends, with or without the power; what its disk is then.
    pub fn stop(&mut self, power: bool, net: &Net, rng: &mut Rng) {
        let Some(process) = self.process.take() else { return };
        net.gone(self.slot, power);
        // First the disk: what is dropped with the process must not write any more.
        self.disk = if power { self.disk.cut(rng) } else { self.disk.killed() };
        process.runtime.shutdown_background();
        self.frozen_until = 0;
        self.led = 0;
    }
}

struct Opening {
    slot: usize,
    disk: SimDisk,
    clock: Clock,
    slow: Arc<AtomicU64>,
    net: Net,
    plan: Plan,
    rng: Rng,
}

impl Opening {
    async fn open(mut self) -> Result<Floors, String> {
        let text = |error: graftd::storage::StorageError| error.to_string();
        let state = StateOptions { cache_bytes: 1 << 20, overlay_bytes: self.plan.overlay, flush_interval_ms: self.plan.flush };
        let state = StateStore::open_on(Arc::new(self.disk.clone()), Path::new("data/state.redb"), state, None).map_err(text)?;
        let log = LogOptions { cache_bytes: 1 << 20, tail_bytes: 1 << 20 };
        let (log, recovered) = LogStore::open_on(&self.disk, Path::new("data/log.redb"), log, None).map_err(text)?;
        let me = raft_id(self.slot);
        state.claim(me).map_err(text)?;
        log.claim(me).map_err(text)?;
        for (name, work) in self.disk.hired() {
            let longest = if name == "graft-log" { self.plan.sync } else { self.plan.flush };
            tokio::spawn(does(work, name == "graft-log", longest, self.slow.clone(), Rng::new(self.rng.next())));
        }
        let options = ConsensusOptions {
            member: info(self.slot),
            security: PeerSecurity::Over(self.net.from(self.slot)),
            entries_in_flight: self.plan.in_flight,
            snapshot_every_entries: self.plan.snapshot_every,
            log_keep_entries: 16 * self.plan.in_flight as u64,
            ..ConsensusOptions::default()
        };
        let metrics = Arc::new(Metrics::new());
        let (store, entries) = (state.clone(), log.clone());
        let consensus = Consensus::open(options, store, entries, recovered, self.clock.clone(), metrics.clone()).await;
        let consensus = consensus.map_err(|error| error.to_string())?;
        consensus.set_lineage(CLUSTER.to_owned(), 1);
        let incoming = UnboundedReceiverStream::new(self.net.listen(self.slot)).map(Ok::<_, std::io::Error>);
        let serving = Server::builder()
            .http2_keepalive_interval(Some(KEEPALIVE))
            .http2_keepalive_timeout(Some(KEEPALIVE))
            .add_service(consensus.peer_service_without_formation())
            .serve_with_incoming(incoming);
        tokio::spawn(serving);
        let options = SchedulerOptions { lease_ms: LEASE_MS, ..SchedulerOptions::default() };
        let (scheduler, _) = Scheduler::start(consensus.clone(), options, self.clock, metrics);
        Ok(Floors { state, log, consensus, scheduler })
    }
}

/// Does a store's work as its thread would, at times of its own: the log's as soon as a disk has done it, the flush now and then.
async fn does(work: Arc<dyn Work>, is_log: bool, longest: u64, slow: Arc<AtomicU64>, mut rng: Rng) {
    let mut flush_in = rng.between(1, longest.max(2));
    while !work.is_over() {
        let takes = 1 + rng.below(if is_log { longest } else { 5 }) + slow.load(Ordering::Relaxed);
        sleep(Duration::from_millis(takes)).await;
        flush_in = flush_in.saturating_sub(takes);
        if work.is_due() || (!is_log && flush_in == 0) {
            work.step();
            flush_in = rng.between(1, longest.max(2));
        }
    }
}
