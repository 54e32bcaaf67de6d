//! One real `graftd` process with its own data directory and log. Killed (by its own process id) when dropped.

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use graft_proto::peer_identity::MemberIdentity;
use graftd::tls::authority::{Authority, CERTIFICATE_DAYS, Subject};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bridge::Machine;
use crate::{AS, binary, http, terminate, wait};

/// Name of the cluster.
const CLUSTER: &str = "test";
/// Longest start of a member in a test, data of a gigabyte included.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Longest life of a member that is to end by itself.
const ENDED_WITHIN: Duration = Duration::from_secs(30);

/// A member and its process, if it runs.
#[derive(Debug)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Where it answers clients, `HOST:PORT`.
    pub client_address: String,
    /// Where it answers members, `HOST:PORT`.
    pub peer_address: String,
    dir: PathBuf,
    /// What it runs.
    program: PathBuf,
    process: Option<Child>,
    machine: Option<Machine>,
    variables: Vec<(String, String)>,
}

/// Ports that the system gives to nobody who asks for any: outgoing connections and other tests do not come by one of these between now and
/// the start of a member.
const PORTS: std::ops::Range<u16> = 10_000..32_000;

/// A port that was free a moment ago, and is given out once.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let among = u32::from(PORTS.end - PORTS.start);
    (0..among)
        .map(|_| {
            // Every process begins elsewhere.
            let at = std::process::id().wrapping_mul(97).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % among;
            PORTS.start + u16::try_from(at).expect("within the range")
        })
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("loopback has a free port")
}

/// The authority of a cluster: its members speak TLS, as they do in earnest.
pub struct Trust {
    authority: Authority,
    ca: String,
}

impl Trust {
    /// A new one.
    pub fn new() -> Self {
        let (authority, issued) = Authority::create(CLUSTER).expect("an authority");
        Self { authority, ca: issued.cert }
    }

    /// Writes the files of a member, and the keys that name them.
    fn files(&self, dir: &Path, name: &str) -> String {
        let member = MemberIdentity { cluster: CLUSTER.to_owned(), member: name.to_owned() };
        let issued = self.authority.issue(&Subject::member(&member), CERTIFICATE_DAYS).expect("a certificate");
        let files = [("peer_ca", "ca.pem", &self.ca), ("peer_cert", "member.pem", &issued.cert), ("peer_key", "member.key", &issued.key)];
        files
            .map(|(key, file, text)| {
                fs::write(dir.join(file), text).expect("a file");
                format!("{key} = {:?}\n", dir.join(file))
            })
            .concat()
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::new()
    }
}

impl Member {
    /// Writes the configuration of a member below `root`; `extra` is TOML that is put at its end. Starts nothing.
    pub fn prepare(root: &Path, name: &str, cluster: &[(String, String)], trust: &Trust, ports: (u16, u16), extra: &str) -> Self {
        let addresses = (format!("127.0.0.1:{}", ports.0), format!("127.0.0.1:{}", ports.1));
        Self::prepare_at(root, name, cluster, trust, addresses, extra)
    }

    /// As [`Self::prepare`], for a member that answers clients and members at these addresses.
    pub fn prepare_at(
        root: &Path,
        name: &str,
        cluster: &[(String, String)],
        trust: &Trust,
        (client_address, peer_address): (String, String),
        extra: &str,
    ) -> Self {
        let dir = root.join(name);
        fs::create_dir_all(&dir).expect("a folder for the member");
        let mut config = format!(
            "[node]\nname = {name:?}\ndata_dir = {:?}\n\n[client]\nlisten = {client_address:?}\n",
            dir.join("data").to_str().expect("utf-8")
        );
        if cluster.len() > 1 {
            let peers: Vec<&str> = cluster.iter().map(|(_, peer)| peer.as_str()).collect();
            let size = cluster.len();
            config += &format!("\n[cluster]\nname = {CLUSTER:?}\nexpect = {size}\npeer_listen = {peer_address:?}\npeers = {peers:?}\n");
            config += &trust.files(&dir, name);
        }
        config += extra;
        fs::write(dir.join("graftd.toml"), config).expect("the configuration");
        Self {
            name: name.to_owned(),
            client_address,
            peer_address,
            dir,
            program: binary("graftd-under-test"),
            process: None,
            machine: None,
            variables: Vec::new(),
        }
    }

    /// From its next start on it runs another build of graftd.
    pub fn runs_instead(&mut self, program: &Path) {
        self.program = program.to_owned();
    }

    /// The same member, on a machine of its own.
    pub fn on(mut self, machine: &Machine) -> Self {
        self.machine = Some(machine.clone());
        self
    }

    /// A variable of its environment, from the next start on.
    pub fn set_variable(&mut self, name: &str, value: impl Into<String>) {
        self.variables.retain(|(known, _)| known != name);
        self.variables.push((name.to_owned(), value.into()));
    }

    /// Starts the process. Its output goes to `graftd.log` in its folder.
    pub fn start(&mut self) {
        assert!(self.process.is_none(), "{} runs already", self.name);
        let log = File::options().create(true).append(true).open(self.log_path()).expect("the log file");
        let mut command = self.machine.as_ref().map_or_else(|| Command::new(&self.program), |machine| machine.command(&self.program));
        command.env(AS, "graftd-under-test").envs(self.variables.iter().map(|(name, value)| (name, value)));
        // Whoever tests a full disk says so; a test does not depend on how full this machine's is.
        if !fs::read_to_string(self.dir.join("graftd.toml")).expect("the configuration").contains("disk_reserve") {
            command.env("GRAFT__STORAGE__DISK_RESERVE", "0B");
        }
        let child = command
            .arg("--config")
            .arg(self.dir.join("graftd.toml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file"))
            .stderr(log)
            .spawn()
            .expect("graftd starts");
        self.process = Some(child);
    }

    /// Starts the process and waits for it to end by itself; returns its exit code (none: a signal ended it) and what it said.
    pub async fn run_to_its_end(&mut self) -> (Option<i32>, String) {
        let before = fs::read(self.log_path()).map_or(0, |said| said.len());
        self.start();
        let (code, said) = self.ended().await;
        (code, said[before..].to_owned())
    }

    /// Waits until the process that runs has ended by itself; its exit code, and all that it has said.
    pub async fn ended(&mut self) -> (Option<i32>, String) {
        let mut child = self.process.take().expect("it runs");
        let status = wait::until(&format!("{} to end (log: {})", self.name, self.log_path().display()), ENDED_WITHIN, || {
            let ended = child.try_wait().expect("our own child can be waited for");
            std::future::ready(ended.ok_or("it runs"))
        })
        .await;
        (status.code(), self.log())
    }

    /// How the process ended, if it has ended by itself since the last look. It does not run any more then.
    pub fn take_ended(&mut self) -> Option<ExitStatus> {
        let status = self.process.as_mut()?.try_wait().expect("our own child can be waited for")?;
        self.process = None;
        Some(status)
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let child = self.process.as_mut().expect("it was started");
        child.try_wait().expect("our own child can be waited for").is_some()
    }

    /// Starts the process; its exit code, if it ends by itself within this time, and what it said. If not, it is killed.
    pub async fn run_to_its_end_or_stop(&mut self, within: Duration) -> (Option<i32>, String) {
        let before = self.log().len();
        self.start();
        let begun = Instant::now();
        while !self.has_ended() && begun.elapsed() < within {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut child = self.process.take().expect("started above");
        let _ = child.kill();
        let code = child.wait().expect("our own child can be waited for").code();
        (code, self.log()[before..].to_owned())
    }

    /// Waits until it has ended by itself, or is ready (`None`).
    pub async fn ended_or_ready(&mut self) -> Option<(Option<i32>, String)> {
        let mut child = self.process.take().expect("it runs");
        let (address, what) = (self.client_address.clone(), format!("{} to end or to be ready", self.name));
        let ended = wait::until(&what, READY_WITHIN, || {
            let ended = child.try_wait().expect("our own child can be waited for");
            let ready = matches!(http::get(&address, "/readyz"), Ok((200, _)));
            std::future::ready(match (ended, ready) {
                (None, false) => Err("neither"),
                (ended, _) => Ok(ended),
            })
        })
        .await;
        if ended.is_none() {
            self.process = Some(child);
        }
        ended.map(|status| (status.code(), self.log()))
    }

    /// Another member on the data directory of this one, which answers clients elsewhere. Starts nothing.
    pub fn second(&self, port: u16) -> Self {
        let dir = self.dir.with_extension("second");
        fs::create_dir_all(&dir).expect("a folder for the member");
        let client_address = format!("127.0.0.1:{port}");
        let config = fs::read_to_string(self.dir.join("graftd.toml")).expect("the configuration");
        fs::write(dir.join("graftd.toml"), config.replace(&self.client_address, &client_address)).expect("the configuration");
        Self {
            name: self.name.clone(),
            client_address,
            peer_address: self.peer_address.clone(),
            dir,
            program: self.program.clone(),
            process: None,
            machine: None,
            variables: Vec::new(),
        }
    }

    /// Waits until `/readyz` says 200; returns how long that took from the call.
    pub async fn ready(&self) -> Duration {
        let start = Instant::now();
        wait::until(&format!("{} to be ready (log: {})", self.name, self.log_path().display()), READY_WITHIN, || async {
            match http::get(&self.client_address, "/readyz") {
                Ok((200, _)) => Ok(()),
                Ok((status, body)) => Err(format!("{status} {body}")),
                Err(error) => Err(error.to_string()),
            }
        })
        .await;
        start.elapsed()
    }

    /// `kill -9`, and waits for the process to be gone.
    pub fn kill(&mut self) {
        let mut child = self.process.take().expect("it runs");
        child.kill().expect("our own child can be killed");
        child.wait().expect("our own child can be waited for");
    }

    /// SIGTERM, at once; what is returned waits for the process to end by itself.
    pub fn terminate(&mut self) -> impl Future<Output = ExitStatus> + use<> {
        let child = self.process.take().expect("it runs");
        terminate(child)
    }

    /// SIGSTOP: its connections stand, and it says nothing more.
    pub fn stop(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// SIGCONT, after [`Self::stop`].
    pub fn go_on(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let child = self.process.as_ref().expect("it runs");
        kill(Pid::from_raw(child.id() as i32), signal).expect("our own child takes a signal");
    }

    /// Its process, if it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().map(Child::id)
    }

    /// Whether the process was started and not stopped by us.
    pub fn runs(&self) -> bool {
        self.process.is_some()
    }

    /// URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.client_address)
    }

    /// Changes its configuration, for the next start.
    pub fn reconfigure(&self, change: impl FnOnce(String) -> String) {
        let file = self.dir.join("graftd.toml");
        let text = fs::read_to_string(&file).expect("the configuration");
        fs::write(&file, change(text)).expect("the configuration");
    }

    /// Its data directory.
    pub fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Its configuration file.
    pub fn config_path(&self) -> PathBuf {
        self.dir.join("graftd.toml")
    }

    /// Where its output goes.
    pub fn log_path(&self) -> PathBuf {
        self.dir.join("graftd.log")
    }

    /// What it has said so far, over all its lives.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).expect("a member that was started has a log")
    }

    /// Size of all its data files, in bytes.
    pub fn data_bytes(&self) -> u64 {
        fs::read_dir(self.data_dir())
            .map(|entries| entries.filter_map(|e| e.ok()?.metadata().ok()).filter(|m| m.is_file()).map(|m| m.len()).sum())
            .unwrap_or(0)
    }

    /// A metric of it, 0 if it is not there.
    pub fn metric(&self, name: &str) -> f64 {
        self.metrics([name])[0]
    }

    /// Several metrics of one moment, each 0 if it is not there.
    pub fn metrics<const N: usize>(&self, names: [&str; N]) -> [f64; N] {
        http::metrics(&self.client_address, names).unwrap_or([0.0; N])
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some(mut child) = self.process.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking()
            && let Ok(log) = fs::read_to_string(self.log_path())
        {
            // A leader tells at every heartbeat that another member is away.
            let tail: Vec<&str> = log.lines().filter(|line| !line.contains("HeartbeatWorker")).rev().take(40).collect();
            eprintln!("--- the end of the log of {} ---", self.name);
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
    }
}
