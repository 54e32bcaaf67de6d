//! What the system and the runtime say of this process, read at each scrape: no thread, no cost between scrapes. And what it has logged.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};
use tokio::runtime::Handle;

use super::logged;
use crate::built;

const BUILT_IN: &str = "a metric of this file has a valid name and is registered once";

/// Parts of a second in which Linux counts the time of processes, on every machine that it runs on.
const TICKS_PER_SECOND: f64 = 100.0;

/// The process and the runtime, as gauges and counters.
struct Process {
    runtime: Handle,
    resident: IntGauge,
    peak: IntGauge,
    reserved: IntGauge,
    threads: IntGauge,
    open_files: IntGauge,
    open_files_max: IntGauge,
    started: prometheus::Gauge,
    cpu_seconds: Counter,
    workers: IntGauge,
    tasks: IntGauge,
    queued: IntGauge,
    busy_seconds: Counter,
    log_lines: IntCounterVec,
}

impl Process {
    fn new(runtime: Handle) -> Self {
        let gauge = |name, help| IntGauge::new(name, help).expect(BUILT_IN);
        let counter = |name, help| Counter::new(name, help).expect(BUILT_IN);
        Self {
            runtime,
            resident: gauge("process_resident_memory_bytes", "Memory of the process that is in use"),
            peak: gauge("process_peak_memory_bytes", "Most memory that the process has used at once"),
            reserved: gauge("process_virtual_memory_bytes", "Memory that the process has reserved"),
            threads: gauge("process_threads", "Threads of the process"),
            open_files: gauge("process_open_fds", "Files and connections that are open"),
            open_files_max: gauge("process_max_fds", "Files and connections that may be open"),
            started: prometheus::Gauge::new("process_start_time_seconds", "When the process was started, since 1970").expect(BUILT_IN),
            cpu_seconds: counter("process_cpu_seconds_total", "Processor time that the process has used"),
            workers: gauge("graft_tokio_workers", "Threads of the runtime"),
            tasks: gauge("graft_tokio_tasks", "Tasks of the runtime that are alive"),
            queued: gauge("graft_tokio_queued_tasks", "Tasks that wait for any thread of the runtime"),
            busy_seconds: counter("graft_tokio_busy_seconds_total", "Time that the threads of the runtime were busy, all together"),
            log_lines: IntCounterVec::new(Opts::new("graft_log_lines_total", "Lines of the log"), &["level"]).expect(BUILT_IN),
        }
    }

    fn all(&self) -> [&dyn Collector; 13] {
        [
            &self.resident,
            &self.peak,
            &self.reserved,
            &self.threads,
            &self.open_files,
            &self.open_files_max,
            &self.started,
            &self.cpu_seconds,
            &self.workers,
            &self.tasks,
            &self.queued,
            &self.busy_seconds,
            &self.log_lines,
        ]
    }

    fn read(&self) {
        let status = status();
        self.resident.set(bytes_of(&status, "VmRSS:") as i64);
        self.peak.set(bytes_of(&status, "VmHWM:") as i64);
        let stat = Stat::read();
        self.reserved.set(stat.reserved_bytes as i64);
        self.threads.set(stat.threads as i64);
        self.started.set(stat.started);
        rise(&self.cpu_seconds, stat.cpu_seconds);
        self.open_files.set(std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as i64);
        self.open_files_max.set(open_files_max(&std::fs::read_to_string("/proc/self/limits").unwrap_or_default()));
        let runtime = self.runtime.metrics();
        self.workers.set(runtime.num_workers() as i64);
        self.tasks.set(runtime.num_alive_tasks() as i64);
        self.queued.set(runtime.global_queue_depth() as i64);
        rise(&self.busy_seconds, (0..runtime.num_workers()).map(|worker| runtime.worker_total_busy_duration(worker).as_secs_f64()).sum());
        for (level, lines) in logged::LEVELS.iter().zip(logged::lines()) {
            let counted = self.log_lines.with_label_values(&[level]);
            counted.inc_by(lines.saturating_sub(counted.get()));
        }
    }
}

/// Brings a counter to what was read. Two scrapes at a time may read in another order than they write.
fn rise(counter: &Counter, to: f64) {
    counter.inc_by((to - counter.get()).max(0.0));
}

impl Collector for Process {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(|collector| collector.desc()).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.read();
        self.all().into_iter().flat_map(|collector| collector.collect()).collect()
    }
}

/// Adds what the system says of this process (`process_*`), what its runtime does (`graft_tokio_*`), how much it logs
/// (`graft_log_lines_total`) and `graft_build_info{version,commit,rustc}`. Call inside the runtime.
pub fn register(registry: &Registry) {
    registry.register(Box::new(Process::new(Handle::current()))).expect(BUILT_IN);
    let build =
        IntGaugeVec::new(Opts::new("graft_build_info", "What is running; always 1"), &["version", "commit", "rustc"]).expect(BUILT_IN);
    build.with_label_values(&[built::VERSION, built::COMMIT, built::RUSTC]).set(1);
    registry.register(Box::new(build)).expect(BUILT_IN);
}

/// Most memory that the process has used at once, in bytes; 0 where the system does not tell.
pub fn peak_memory_bytes() -> u64 {
    bytes_of(&status(), "VmHWM:")
}

fn status() -> String {
    // Elsewhere than on Linux there is no such file.
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// A line such as `VmHWM:    123456 kB`, in bytes; 0 if it is not there.
fn bytes_of(status: &str, key: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(key));
    let kibibytes = line.and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
    kibibytes.unwrap_or(0) * 1024
}

/// The soft limit in the line `Max open files  1024  4096  files`; 0 if it is not there, or there is none.
fn open_files_max(limits: &str) -> i64 {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// What `/proc/self/stat` says; all 0 where there is no such file.
#[derive(Debug, Default, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: u64,
    started: f64,
    reserved_bytes: u64,
}

impl Stat {
    fn read() -> Self {
        let of = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self::of(&of("/proc/self/stat"), &of("/proc/stat"))
    }

    fn of(process: &str, system: &str) -> Self {
        // The name of the program stands in brackets and may hold anything; what follows is numbered from 3 in proc(5).
        let fields: Vec<&str> = process.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().collect()).unwrap_or_default();
        let number = |field: usize| fields.get(field - 3).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        let booted = system.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse::<f64>().ok()).unwrap_or(0.0);
        Self {
            cpu_seconds: (number(14) + number(15)) as f64 / TICKS_PER_SECOND,
            threads: number(20),
            started: booted + number(22) as f64 / TICKS_PER_SECOND,
            reserved_bytes: number(23),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_scrape_says_what_the_process_uses_and_does() {
        let registry = Registry::new();
        register(&registry);
        let families = registry.gather();
        let value = |name: &str| {
            let metric = &families.iter().find(|family| family.name() == name).expect(name).get_metric()[0];
            metric.get_gauge().get_value() + metric.get_counter().get_value()
        };
        assert!(value("process_resident_memory_bytes") > 0.0);
        assert!(value("process_peak_memory_bytes") >= value("process_resident_memory_bytes") / 2.0);
        assert!(value("process_virtual_memory_bytes") >= value("process_resident_memory_bytes"));
        assert!(value("process_open_fds") > 2.0 && value("process_open_fds") < value("process_max_fds"));
        assert!(value("process_start_time_seconds") > 1.7e9 && value("process_threads") >= 1.0);
        assert_eq!(value("graft_tokio_workers"), 1.0);
        assert_eq!(value("graft_build_info"), 1.0);
    }

    #[test]
    fn the_name_of_a_program_may_hold_anything() {
        let process = "77 (a) b) S 1 77 77 0 -1 4194560 1 0 0 0 250 150 0 0 20 0 9 0 1000 8192 3 0";
        let stat = Stat::of(process, "cpu 1 2\nbtime 1700000000\n");
        assert_eq!(stat, Stat { cpu_seconds: 4.0, threads: 9, started: 1_700_000_010.0, reserved_bytes: 8_192 });
        assert_eq!(Stat::of("", ""), Stat::default());
    }

    #[test]
    fn a_missing_line_counts_as_nothing() {
        assert_eq!(bytes_of("VmRSS:\t    12 kB\n", "VmRSS:"), 12 << 10);
        assert_eq!(bytes_of("VmRSS: lots\n", "VmRSS:"), 0);
        assert_eq!(bytes_of("", "VmRSS:"), 0);
        assert_eq!(open_files_max("Max open files            1024                 4096                 files\n"), 1024);
        assert_eq!(open_files_max("Max open files            unlimited            unlimited            files\n"), 0);
    }
}
