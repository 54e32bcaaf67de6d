//! Walls between machines on one bridge: packets that are dropped where they arrive, by `nft` in the network namespace of whoever shall not hear
//! them.
//!
//! Each wall is a table of its own, so that several can stand in one place and one can be taken away.

use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::bridge::{Bridge, Machine};

/// Why walls cannot be built here.
///
/// # Errors
/// They cannot.
pub fn possible() -> Result<(), String> {
    Bridge::possible()?;
    match Command::new("nft").arg("--version").output() {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("`nft` (Debian: nftables) cannot be run: {error}")),
    }
}

/// One wall. It stands until it is taken away.
#[derive(Debug)]
#[must_use = "a wall that nobody takes away stands for ever"]
pub struct Wall {
    table: String,
    hearers: Vec<Machine>,
}

impl Wall {
    /// Lets none of `hearers` hear any of `speakers`.
    ///
    /// # Errors
    /// What `nft` says.
    pub fn between(hearers: &[&Machine], speakers: &[&Machine]) -> Result<Self, String> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let table = format!("wall{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let mut wall = Self { table, hearers: Vec::new() };
        for hearer in hearers {
            let from: Vec<&str> = speakers.iter().filter(|speaker| speaker.ip != hearer.ip).map(|speaker| speaker.ip.as_str()).collect();
            if from.is_empty() {
                continue;
            }
            let table = &wall.table;
            let rules = format!(
                "table ip {table} {{\n chain input {{\n  type filter hook input priority 0;\n  ip saddr {{ {} }} drop\n }}\n}}\n",
                from.join(", ")
            );
            if let Err(why) = nft(hearer, &rules) {
                wall.take_away();
                return Err(why);
            }
            wall.hearers.push((*hearer).clone());
        }
        Ok(wall)
    }

    /// Takes it away.
    pub fn take_away(self) {
        for hearer in &self.hearers {
            if let Err(why) = nft(hearer, &format!("delete table ip {}\n", self.table)) {
                eprintln!("a wall stays: {why}");
            }
        }
    }
}

fn nft(machine: &Machine, rules: &str) -> Result<(), String> {
    let spawned = machine.command("nft").args(["-f", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let failed = |error: std::io::Error| format!("nft on {}: {error}", machine.ip);
    let mut child = spawned.map_err(failed)?;
    child.stdin.take().expect("it is piped").write_all(rules.as_bytes()).map_err(failed)?;
    let output = child.wait_with_output().map_err(failed)?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("nft on {}: {rules}: {}", machine.ip, String::from_utf8_lossy(&output.stderr))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;
    use std::time::Duration;

    #[test]
    fn a_wall_lets_one_be_heard_and_not_the_other_and_is_gone_when_it_is_taken_away() {
        if crate::left_out(possible()) {
            return;
        }
        let bridge = Bridge::with(2);
        let [a, b] = bridge.machines() else { panic!("two machines") };
        let socket = |machine: &Machine| {
            let address = format!("{}:7000", machine.ip);
            machine.on(|| {
                let socket = UdpSocket::bind(address).expect("a socket");
                socket.set_read_timeout(Some(Duration::from_millis(300))).expect("a timeout");
                socket
            })
        };
        let sockets = (socket(a), socket(b));
        let hears = |from: &UdpSocket, to: &UdpSocket, machine: &Machine| {
            from.send_to(b"x", format!("{}:7000", machine.ip)).expect("sent");
            to.recv(&mut [0; 1]).is_ok()
        };
        assert!(hears(&sockets.0, &sockets.1, b) && hears(&sockets.1, &sockets.0, a));
        let wall = Wall::between(&[a], &[a, b]).expect("a wall");
        assert!(hears(&sockets.0, &sockets.1, b) && !hears(&sockets.1, &sockets.0, a), "b hears, and a does not");
        wall.take_away();
        assert!(hears(&sockets.1, &sockets.0, a));
    }
}
