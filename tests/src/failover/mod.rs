//! How long nobody works when the leader is lost or hands over, and whether it is left alone when nothing happens: a real cluster with its
//! default timers, worker processes, and clients that ask for workflows all the time (`lanes`).
//!
//! What is measured is what users wait for: from `kill -9` of the leader (or from the order to hand over) to the first result of a worker that
//! the next leader has applied, which means that it is on the disks of a majority. Leaders count only what they have received themselves, so that
//! what the last leader left in the logs of others is no progress ([`crate::cluster::Cluster::progress_after`]).

mod calm;
mod cut;
mod lanes;

use std::time::{Duration, Instant};

pub use calm::{Calm, calm};
pub use cut::Cut;
pub use lanes::{Asked, Lanes};

use crate::cluster::Cluster;
use crate::loop_sim::rng::Rng;
use crate::wait;
use crate::walls::Wall;
use crate::workers::WorkerProcess;

/// Longest wait for a cluster to be whole again.
const WHOLE_WITHIN: Duration = Duration::from_secs(60);
/// Entries that a member may lack and still count as there.
const LAG: f64 = 200.0;
/// Between two rounds, at most so long, by chance: so that a kill falls into any moment of what goes on periodically.
const PAUSE_MAX_MS: u64 = 300;
/// Worker processes.
const WORKERS: usize = 2;
/// How long a follower is stopped, or cut off: far longer than an election takes.
const AWAY: Duration = Duration::from_secs(5);

/// A cluster under load.
pub struct Trial {
    /// The members.
    pub cluster: Cluster,
    /// Those who ask.
    pub lanes: Lanes,
    workers: Vec<WorkerProcess>,
    rng: Rng,
}

/// One loss of a leader, or one handover.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// Until another member led.
    pub led_after: Duration,
    /// Until that one had applied a result.
    pub progress_after: Duration,
}

impl Trial {
    /// Begins with members that were started, workers, and as many lanes that together ask for `rate` workflows a second.
    pub async fn begin(cluster: Cluster, lanes: usize, rate: u32, seed: u64) -> Self {
        let urls = cluster.urls();
        let workers = (1..=WORKERS).map(|i| WorkerProcess::start(&urls, &format!("w{i}"))).collect();
        let lanes = Lanes::begin(cluster.clients(), lanes, rate);
        let trial = Self { cluster, lanes, workers, rng: Rng::new(seed) };
        trial.whole().await;
        trial
    }

    /// Waits until every member runs, follows and has nearly all entries, one leads, and work gets on.
    pub async fn whole(&self) {
        for member in &self.cluster.members {
            member.ready().await;
        }
        wait::until("all members to have caught up", WHOLE_WITHIN, || async {
            let last: Vec<f64> =
                self.cluster.members.iter().map(|member| member.metric("graft_raft_log_index{position=\"applied\"}")).collect();
            let furthest = last.iter().copied().fold(0.0, f64::max);
            if last.iter().all(|index| furthest - index <= LAG) { Ok(()) } else { Err(last) }
        })
        .await;
        self.cluster.leader().await;
        let done = self.lanes.completed();
        wait::until("workflows to complete", WHOLE_WITHIN, || async {
            let now = self.lanes.completed();
            if now > done + 10 { Ok(()) } else { Err(now) }
        })
        .await;
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(self.rng.below(PAUSE_MAX_MS))).await;
    }

    /// `kill -9` of the leader; it comes back before this returns.
    pub async fn kill(&mut self) -> Round {
        self.pause().await;
        let leader = self.cluster.leader().await;
        let mark = self.cluster.mark();
        // The time that it takes the system to end the process is counted.
        let gone = Instant::now();
        self.cluster.members[leader].kill();
        let over = self.cluster.progress_after(&mark, gone).await;
        self.cluster.members[leader].start();
        self.whole().await;
        Round { led_after: over.led_after, progress_after: over.progress_after }
    }

    /// The leader hands over, as an operator orders it.
    ///
    /// # Errors
    /// If the order is refused or its outcome unknown: what was said.
    pub async fn transfer(&mut self) -> Result<Round, String> {
        self.pause().await;
        let client = self.cluster.client();
        let mark = self.cluster.mark();
        let asked = Instant::now();
        let order = tokio::spawn(async move { client.transfer_leader(None).await });
        let over = self.cluster.progress_after(&mark, asked).await;
        order.await.expect("no panic").map_err(|error| error.to_string())?;
        Ok(Round { led_after: over.led_after, progress_after: over.progress_after })
    }

    /// The highest term that any member knows.
    pub fn term(&self) -> u64 {
        self.cluster.members.iter().map(|member| member.metric("graft_raft_term") as u64).max().unwrap_or(0)
    }

    /// Stops a follower for five seconds and lets it go on; by how many terms the cluster is further when it is whole again.
    pub async fn stop_a_follower(&mut self) -> u64 {
        self.pause().await;
        let before = self.term();
        let follower = self.a_follower().await;
        self.cluster.members[follower].stop();
        tokio::time::sleep(AWAY).await;
        self.cluster.members[follower].go_on();
        self.whole().await;
        self.term() - before
    }

    /// Cuts a follower off for five seconds; by how many terms the cluster is further when it is whole again. The members have to be on machines.
    ///
    /// # Errors
    /// No wall can be built here.
    pub async fn cut_off_a_follower(&mut self, cut: Cut) -> Result<u64, String> {
        self.pause().await;
        let before = self.term();
        let follower = self.a_follower().await;
        let walls = cut.build(&self.cluster, follower)?;
        tokio::time::sleep(AWAY).await;
        walls.into_iter().for_each(Wall::take_away);
        self.whole().await;
        Ok(self.term() - before)
    }

    async fn a_follower(&self) -> usize {
        (self.cluster.leader().await + 1) % self.cluster.members.len()
    }

    /// Ends the load and says what became of what was asked.
    pub async fn end(self) -> Asked {
        let asked = self.lanes.end().await;
        drop(self.workers);
        asked
    }
}

/// The value below which so many per cent of them lie (nearest rank).
pub fn percentile(times: &[Duration], per_cent: usize) -> Duration {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * per_cent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_seen() {
        let times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        let at = |per_cent| percentile(&times, per_cent).as_millis();
        assert_eq!((at(50), at(90), at(99), at(100)), (100, 180, 198, 200));
        assert_eq!(percentile(&times[..1], 99).as_millis(), 1);
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
