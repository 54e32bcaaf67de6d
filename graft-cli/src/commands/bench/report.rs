//! The figures, for people and for programs.

use std::time::Duration;

use clap::ValueEnum;
use schemars::JsonSchema;
use serde::Serialize;

use super::disk::Disk;
use super::latency::Sums;
use super::server::Counted;
use super::workload::Plan;
use crate::cli::local::Bench;
use crate::error::CliResult;
use crate::output::json::Document;
use crate::output::style::Line;
use crate::output::table::facts;
use crate::output::time::three_digits;
use crate::output::{Answer, Output, View};

/// What was measured.
#[derive(Debug)]
pub(crate) struct Window {
    /// For how long.
    pub(crate) took: Duration,
    /// Steps that the workers executed in it.
    pub(crate) steps: u64,
    /// Steps of the whole run that were not the first attempt of their task.
    pub(crate) repeats: u64,
    /// How long the workflows took that completed in it.
    pub(crate) latencies: Sums,
    /// Workflows of the whole run that went wrong.
    pub(crate) wrong: u64,
    /// What the first of them said.
    pub(crate) first_error: Option<String>,
    /// Workflows that hung and were terminated.
    pub(crate) unfinished: u64,
    /// Id of the first of them.
    pub(crate) first_unfinished: Option<String>,
    /// What the leader counted; `None` if another one leads now.
    pub(crate) server: Option<Counted>,
}

/// `graft bench -o json`. What is not known is `null`.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(crate) struct Report {
    workload: String,
    workflows_per_s: f64,
    /// Steps handed to workers.
    steps_per_s: f64,
    /// From the start of a workflow to its end, as a client sees it.
    latency_us: LatencyUs,
    /// Commands that resolve a step, for each step: 1.
    commands_per_step: Option<f64>,
    /// Log entries of any kind, for each step.
    entries_per_step: Option<f64>,
    /// Durable commits of log and state.
    fsyncs_per_s: Option<f64>,
    /// Median of a plain 4 KiB fdatasync before and after.
    fdatasync_us_p50: Option<u64>,
    /// Of the process that leads; it holds workers and clients as well if `in_process`.
    peak_memory_bytes: Option<u64>,
    /// Workflows that went wrong or did not end.
    errors: u64,
    /// Those of them that did not end.
    unfinished: u64,
    repeated_steps: u64,
    workflows: u64,
    steps: u64,
    steps_per_workflow: u64,
    start_commands: Option<u64>,
    session_commands: Option<u64>,
    other_commands: Option<u64>,
    log_fsyncs_per_s: Option<f64>,
    state_fsyncs_per_s: Option<f64>,
    concurrency: u32,
    workers: u32,
    payload_bytes: u32,
    write: bool,
    duration_s: f64,
    in_process: bool,
}

#[derive(Clone, Debug, Serialize, JsonSchema)]
struct LatencyUs {
    p50: Option<u64>,
    p99: Option<u64>,
    p999: Option<u64>,
}

impl Report {
    fn new(args: &Bench, plan: &Plan, window: &Window, disk: &Disk, in_process: bool) -> Self {
        let seconds = window.took.as_secs_f64();
        let rate = |count: u64| round(count as f64 / seconds, 1);
        let server = window.server.as_ref();
        let server_rate = |count: fn(&Counted) -> u64| server.map(|server| round(count(server) as f64 / server.took.as_secs_f64(), 1));
        Self {
            workload: args.workload.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default(),
            workflows_per_s: rate(window.latencies.total()),
            steps_per_s: rate(window.steps),
            latency_us: LatencyUs {
                p50: window.latencies.permille(500),
                p99: window.latencies.permille(990),
                p999: window.latencies.permille(999),
            },
            commands_per_step: server.and_then(|server| server.commands_per_step).map(|ratio| round(ratio, 4)),
            entries_per_step: server.and_then(|server| server.entries_per_step).map(|ratio| round(ratio, 4)),
            fsyncs_per_s: server_rate(|server| server.log_fsyncs + server.state_fsyncs),
            fdatasync_us_p50: disk.p50_us(),
            peak_memory_bytes: server.map(|server| server.peak_memory_bytes),
            errors: window.wrong + window.unfinished,
            unfinished: window.unfinished,
            repeated_steps: window.repeats,
            workflows: window.latencies.total(),
            steps: window.steps,
            steps_per_workflow: plan.steps_per_workflow(),
            start_commands: server.map(|server| server.start_commands),
            session_commands: server.map(|server| server.session_commands),
            other_commands: server.map(|server| server.other_commands),
            log_fsyncs_per_s: server_rate(|server| server.log_fsyncs),
            state_fsyncs_per_s: server_rate(|server| server.state_fsyncs),
            concurrency: args.concurrency,
            workers: args.workers,
            payload_bytes: args.payload,
            write: args.write,
            duration_s: round(seconds, 3),
            in_process,
        }
    }
}

impl Document for Report {
    const KIND: &'static str = "BenchReport";
}

impl Answer for Report {
    type Document = Self;

    fn document(&self) -> Self {
        self.clone()
    }

    fn names(&self) -> Vec<String> {
        vec![self.workload.clone()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        let us = |us: Option<u64>| us.map_or_else(|| "?".to_owned(), three_digits);
        let number = |number: Option<f64>| number.map_or_else(|| "?".to_owned(), |number| number.to_string());
        let LatencyUs { p50, p99, p999 } = &self.latency_us;
        let memory = self.peak_memory_bytes.map_or_else(|| "?".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
        let with = if self.in_process { " (with the workers and clients of this process)" } else { "" };
        facts(&[
            ("workload", format!("{}, {} in flight, {} s", self.workload, self.concurrency, self.duration_s)),
            ("workflows/s", format!("{:.0}", self.workflows_per_s)),
            ("steps/s", format!("{:.0}", self.steps_per_s)),
            ("latency", format!("p50 {}  p99 {}  p99.9 {}", us(*p50), us(*p99), us(*p999))),
            ("commands/step", number(self.commands_per_step)),
            ("log entries/step", number(self.entries_per_step)),
            ("fsyncs/s", number(self.fsyncs_per_s)),
            ("4 KiB fdatasync", format!("p50 {}", us(self.fdatasync_us_p50))),
            ("peak memory", format!("{memory}{with}")),
            ("errors", self.errors.to_string()),
        ])
    }
}

/// Prints the figures.
pub(crate) fn print(output: Output, args: &Bench, plan: &Plan, window: &Window, disk: &Disk, in_process: bool) -> CliResult {
    output.show(&Report::new(args, plan, window, disk, in_process))
}

fn round(value: f64, digits: i32) -> f64 {
    let unit = 10_f64.powi(digits);
    (value * unit).round() / unit
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Noun};
    use crate::commands::bench::latency::Latencies;

    #[test]
    fn the_report_has_the_promised_keys_and_ratios() {
        let cli = Cli::try_parse_from(["graft", "bench", "--workload", "chain", "--steps", "3"]).unwrap();
        let Noun::Bench(args) = cli.noun else { panic!("another verb") };
        let latencies = Latencies::default();
        (0..10).for_each(|_| latencies.add(Duration::from_micros(100)));
        let server = Counted {
            took: Duration::from_secs(4),
            commands_per_step: Some(1.000_01),
            entries_per_step: Some(0.5),
            start_commands: 10,
            session_commands: 0,
            other_commands: 0,
            log_fsyncs: 9,
            state_fsyncs: 1,
            peak_memory_bytes: 7 << 20,
        };
        let window = Window {
            took: Duration::from_secs(2),
            steps: 30,
            repeats: 0,
            latencies: latencies.sums(),
            wrong: 0,
            first_error: None,
            unfinished: 0,
            first_unfinished: None,
            server: Some(server),
        };
        let mut disk = Disk::default();
        disk.add(vec![200]);
        let report = serde_json::to_value(Report::new(&args, &Plan::new(&args), &window, &disk, true)).unwrap();
        let promised = json!({
            "workload": "chain", "workflows_per_s": 5.0, "steps_per_s": 15.0, "latency_us": {"p50": 100, "p99": 100, "p999": 100},
            "commands_per_step": 1.0, "entries_per_step": 0.5, "fsyncs_per_s": 2.5, "fdatasync_us_p50": 200,
            "peak_memory_bytes": 7 << 20, "errors": 0,
        });
        for (key, value) in promised.as_object().unwrap() {
            assert_eq!(&report[key], value, "{key}");
        }
    }
}
