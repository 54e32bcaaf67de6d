//! Measures how long nobody works when a leader is lost or hands over, and whether one is left alone: see `-h`.

use std::process::ExitCode;
use std::time::Duration;

use graft_tests::bridge::Bridge;
use graft_tests::cluster::Cluster;
use graft_tests::failover::{Calm, Cut, Round, Trial, calm, percentile};
use graft_tests::{being_another, walls};
use serde_json::{Value, json};

const HELP: &str = "\
failover: members with their default timers, worker processes, and clients that ask all the time.

  --kills N        kill -9 of the leader, N times: the time to the first completed task of the next leader (aim: p99 below 1 s)
  --transfers N    the leader hands over, N times: the same (aim: p99 below 100 ms), and no request fails
  --stops N        a follower is stopped for 5 s and goes on, N times: the leader stays (aim: no election)
  --cuts N         a follower is cut off for 5 s, N times: in turn both ways, deaf, and unheard; the leader stays (aim: no election)
                   the members are in network namespaces then, for which it needs root, `ip` and `nft`
  --calm MINUTES   nothing happens, with the processors at --cpu PER_CENT [80] (aim: no election)
  --members N      how many members [3]
  --lanes N        clients that ask, each for one workflow of three steps after the other [32]
  --rate N         workflows that they start in a second, together; 0 = as many as they can [200]
  --seed N         of the pauses between the rounds [1]
  -o json|text     how the figures are told [text]

Ends with 1 if an aim is missed, a request failed that should not have, or anything that was acknowledged is lost.";

/// What the command line asks for.
struct Asks {
    kills: u64,
    transfers: u64,
    stops: u64,
    cuts: u64,
    calm_minutes: f64,
    cpu: f64,
    members: u64,
    lanes: u64,
    rate: u64,
    seed: u64,
    json: bool,
}

fn asks() -> Result<Option<Asks>, String> {
    let mut asks = Asks {
        kills: 0,
        transfers: 0,
        stops: 0,
        cuts: 0,
        calm_minutes: 0.0,
        cpu: 80.0,
        members: 3,
        lanes: 32,
        rate: 200,
        seed: 1,
        json: false,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "-h" || word == "--help" {
            return Ok(None);
        }
        let value = words.next().ok_or_else(|| format!("{word} needs a value; -h tells of all"))?;
        let number = || value.parse::<f64>().ok().filter(|number| *number >= 0.0).ok_or_else(|| format!("{word} {value}: no number"));
        let count = || value.parse::<u64>().map_err(|_| format!("{word} {value}: no number"));
        match word.as_str() {
            "--kills" => asks.kills = count()?,
            "--transfers" => asks.transfers = count()?,
            "--stops" => asks.stops = count()?,
            "--cuts" => asks.cuts = count()?,
            "--calm" => asks.calm_minutes = number()?,
            "--cpu" => asks.cpu = number()?.min(100.0),
            "--members" => asks.members = count()?.max(2),
            "--lanes" => asks.lanes = count()?.max(1),
            "--rate" => asks.rate = count()?,
            "--seed" => asks.seed = count()?,
            "-o" if value == "json" || value == "text" => asks.json = value == "json",
            _ => return Err(format!("{word} {value}: unknown; -h tells of all")),
        }
    }
    Ok(Some(asks))
}

fn figures(rounds: &[Round]) -> Value {
    let times = |of: fn(&Round) -> Duration| {
        let times: Vec<Duration> = rounds.iter().map(of).collect();
        let at = |per_cent| percentile(&times, per_cent).as_millis() as u64;
        json!({ "p50": at(50), "p90": at(90), "p99": at(99), "max": at(100) })
    };
    json!({ "count": rounds.len(), "first_task_ms": times(|round| round.progress_after), "led_ms": times(|round| round.led_after) })
}

fn p99(figures: &Value) -> u64 {
    figures["first_task_ms"]["p99"].as_u64().unwrap_or(0)
}

async fn measure(asks: &Asks, bridge: Option<Bridge>) -> Result<(Value, Vec<String>), String> {
    let members = asks.members as usize;
    let cluster = match bridge {
        Some(bridge) => Cluster::start_on(bridge, members, "").await,
        None => Cluster::start(members, "").await,
    };
    let mut trial = Trial::begin(cluster, asks.lanes as usize, asks.rate as u32, asks.seed).await;
    let (mut told, mut missed) =
        (json!({ "members": asks.members, "lanes": asks.lanes, "rate": asks.rate, "seed": asks.seed }), Vec::new());
    if asks.calm_minutes > 0.0 {
        let Calm { lasted, cpu, cpu_range, elections } = calm(&trial, Duration::from_secs_f64(asks.calm_minutes * 60.0), asks.cpu).await;
        told["calm"] = json!({
            "seconds": lasted.as_secs(), "cpu_per_cent": cpu.round(), "cpu_lowest": cpu_range.0.round(), "cpu_highest": cpu_range.1.round(),
            "elections": elections,
        });
        if elections > 0 {
            missed.push(format!("{elections} elections while nothing happened"));
        }
    }
    if asks.stops > 0 {
        let mut elections = 0;
        for _ in 0..asks.stops {
            elections += trial.stop_a_follower().await;
        }
        told["stops"] = json!({ "count": asks.stops, "elections": elections });
        if elections > 0 {
            missed.push(format!("{elections} elections for followers that were stopped"));
        }
    }
    if asks.cuts > 0 {
        let mut elections = 0;
        for cut in Cut::ALL.iter().cycle().take(asks.cuts as usize) {
            elections += trial.cut_off_a_follower(*cut).await?;
        }
        told["cuts"] = json!({ "count": asks.cuts, "elections": elections });
        if elections > 0 {
            missed.push(format!("{elections} elections for followers that were cut off"));
        }
    }
    if asks.transfers > 0 {
        let (mut rounds, mut refused, failed) = (Vec::new(), Vec::new(), trial.lanes.failed());
        for number in 0..asks.transfers {
            match trial.transfer().await {
                Ok(round) => rounds.push(round),
                Err(error) => refused.push(error),
            }
            tell_on(asks, "transfer", number, rounds.last());
        }
        told["transfers"] = figures(&rounds);
        told["transfers"]["refused"] = json!(refused);
        told["transfers"]["failed_requests"] = json!(trial.lanes.failed() - failed);
        if p99(&told["transfers"]) >= 100 {
            missed.push(format!("p99 of transfers is {} ms", p99(&told["transfers"])));
        }
        if !refused.is_empty() || trial.lanes.failed() > failed {
            missed.push("a request failed at a transfer".to_owned());
        }
    }
    if asks.kills > 0 {
        let (mut rounds, failed) = (Vec::new(), trial.lanes.failed());
        for number in 0..asks.kills {
            rounds.push(trial.kill().await);
            tell_on(asks, "kill", number, rounds.last());
        }
        told["kills"] = figures(&rounds);
        told["kills"]["failed_requests"] = json!(trial.lanes.failed() - failed);
        if p99(&told["kills"]) >= 1_000 {
            missed.push(format!("p99 of failovers is {} ms", p99(&told["kills"])));
        }
    }
    let asked = trial.end().await;
    told["acknowledged"] = json!(asked.acknowledged);
    told["completed"] = json!(asked.completed);
    told["failures"] = json!(asked.failures);
    told["wrong"] = json!(asked.wrong);
    if !asked.wrong.is_empty() || asked.completed != asked.acknowledged {
        missed.push(format!("{} of {} acknowledged workflows completed", asked.completed, asked.acknowledged));
    }
    told["missed"] = json!(missed);
    Ok((told, missed))
}

/// One line for each round, for whoever watches.
fn tell_on(asks: &Asks, what: &str, number: u64, round: Option<&Round>) {
    if let (false, Some(round)) = (asks.json, round) {
        let (led, task) = (round.led_after.as_millis(), round.progress_after.as_millis());
        eprintln!("{what} {}: another leader after {led} ms, its first completed task after {task} ms", number + 1);
    }
}

fn main() -> ExitCode {
    if let Some(ended) = being_another() {
        return ended;
    }
    let asks = match asks() {
        Ok(Some(asks)) => asks,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            eprintln!("failover: {wrong}");
            return ExitCode::from(2);
        }
    };
    // Before there is any other thread.
    let bridge = if asks.cuts > 0 { walls::possible().and_then(|()| Bridge::around(asks.members as usize)).map(Some) } else { Ok(None) };
    let measured = bridge.and_then(|bridge| tokio::runtime::Runtime::new().expect("a runtime").block_on(measure(&asks, bridge)));
    let (told, missed) = match measured {
        Ok(measured) => measured,
        Err(why) => {
            eprintln!("failover: {why}");
            return ExitCode::from(2);
        }
    };
    println!("{}", if asks.json { told.to_string() } else { serde_json::to_string_pretty(&told).expect("plain values") });
    missed.iter().for_each(|missed| eprintln!("failover: missed: {missed}"));
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
