//! Machines that share a network and nothing else: network namespaces, each with one address on one bridge. The bridge has a namespace of its
//! own as well, so that the host's network is not touched, and all of it is gone when the namespaces are.
//!
//! Needs root and `ip`. Whoever has neither cannot run such a test; [`Bridge::possible`] says why.

use std::fs::File;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};
use nix::unistd::geteuid;

/// First three parts of every address. Each bridge is a network of its own.
const NET: &str = "10.77.1";

/// A bridge and the machines on it. Dropped, all of it goes.
#[derive(Debug)]
pub struct Bridge {
    name: String,
    machines: Vec<Machine>,
}

/// A machine on a bridge.
#[derive(Clone, Debug)]
pub struct Machine {
    /// Its network namespace.
    pub namespace: String,
    /// Its address on the bridge.
    pub ip: String,
}

fn ip(arguments: &[&str]) {
    let output = Command::new("ip").args(arguments).output().expect("`ip` was there a moment ago");
    assert!(output.status.success(), "ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
}

impl Bridge {
    /// Whether bridges can be made here; the error is why not.
    pub fn possible() -> Result<(), String> {
        if !geteuid().is_root() {
            return Err("network namespaces need root".to_owned());
        }
        match Command::new("ip").arg("-V").output() {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("`ip` (Debian: iproute2) cannot be run: {error}")),
        }
    }

    /// With so many machines on it.
    pub fn with(machines: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("graft-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        // From here on it is dropped, whatever happens.
        let mut bridge = Self { name, machines: Vec::new() };
        let net = bridge.name.clone();
        ip(&["netns", "add", &net]);
        // Without snooping, multicast goes to everybody, as on a switch that knows nothing of it.
        ip(&["-n", &net, "link", "add", "bridge", "up", "type", "bridge", "mcast_snooping", "0"]);
        for i in 0..machines {
            let machine = Machine { namespace: format!("{net}-{i}"), ip: format!("{NET}.{}", i + 1) };
            ip(&["netns", "add", &machine.namespace]);
            bridge.machines.push(machine.clone());
            let (here, there) = (format!("port{i}"), machine.namespace.as_str());
            ip(&["-n", &net, "link", "add", &here, "type", "veth", "peer", "name", "eth0", "netns", there]);
            ip(&["-n", &net, "link", "set", &here, "master", "bridge", "up"]);
            ip(&["-n", there, "address", "add", &format!("{}/24", machine.ip), "dev", "eth0"]);
            for device in ["lo", "eth0"] {
                ip(&["-n", there, "link", "set", device, "up"]);
            }
        }
        bridge
    }

    /// With so many machines, and one more for whoever calls this: its thread enters it, and takes along whatever it begins from now on. Threads that
    /// were there already stay where they are.
    ///
    /// # Errors
    /// It may not enter.
    pub fn around(machines: usize) -> Result<Self, String> {
        let bridge = Self::with(machines + 1);
        let own = &bridge.machines[machines];
        own.enter().map_err(|error| format!("the network namespace {}: {error}", own.namespace))?;
        Ok(bridge)
    }

    /// The machines.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        for name in self.machines.iter().map(|machine| &machine.namespace).chain([&self.name]) {
            // What was not made cannot be taken away.
            let _ = Command::new("ip").args(["netns", "delete", name]).output();
        }
    }
}

impl Machine {
    /// A command that runs on this machine. What it starts is this command itself: its process id is the program's.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Moves this thread, and every thread and process that it makes from now on, to this machine's network.
    ///
    /// # Errors
    /// It may not.
    pub fn enter(&self) -> std::io::Result<()> {
        Ok(setns(File::open(format!("/var/run/netns/{}", self.namespace))?, CloneFlags::CLONE_NEWNET)?)
    }

    /// Does something on this machine's network, on a thread of its own.
    pub fn on<T: Send>(&self, does: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                self.enter().expect("root may enter it");
                does()
            });
            thread.join().expect("no panic on the machine")
        })
    }
}
