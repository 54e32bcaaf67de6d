//! A shell in an empty folder, and what is typed into it.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use super::page::Shown;

/// Longest that one command may take: a lost disk is missed for half a minute before another takes its place.
const PATIENCE: Duration = Duration::from_secs(180);
/// What the shell says after each command, before its exit code.
const ENDED: &str = "--- this was the end of a command, with";
/// How much of each log is shown when something went wrong, in lines.
const LOG_LINES: usize = 15;

/// A net of loopback that stands for that of the pages, `127.0.0.0/24`: every address of `127.0.0.0/8` is this machine.
struct Net(String);

impl Net {
    const SHOWN: &str = "127.0.0.";

    /// One that no other test has at the same time.
    fn of_this_process() -> Self {
        let id = std::process::id();
        Self(format!("127.{}.{}.", 1 + id / 256 % 254, id % 256))
    }

    fn inside(&self, text: &str) -> String {
        text.replace(Self::SHOWN, &self.0)
    }

    fn outside(&self, text: &str) -> String {
        text.replace(&self.0, Self::SHOWN)
    }
}

/// The shell. What it started ends with it.
pub(super) struct Session {
    shell: Child,
    typed: ChildStdin,
    said: Receiver<String>,
    net: Net,
    folder: tempfile::TempDir,
    is_shown: bool,
}

impl Session {
    /// A shell in an empty folder, which is home as well; with `is_shown`, what a terminal would show is printed.
    pub(super) fn new(graft: &Path, is_shown: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (home, bin) = (folder.path().join("home"), folder.path().join("bin"));
        for dir in [&home, &bin] {
            fs::create_dir(dir).expect("a folder");
        }
        symlink(graft, bin.join("graft")).expect("a link");
        symlink(std::env::current_exe().expect("a test knows where it is"), bin.join("graftd")).expect("a link");
        let (reader, writer) = std::io::pipe().expect("a pipe");
        let mut command = Command::new("sh");
        command
            .env_clear()
            .env("PATH", format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default()))
            .env("HOME", &home)
            // How full the disk of this machine is, is no matter here.
            .env("GRAFT__STORAGE__DISK_RESERVE", "0B")
            .current_dir(&home)
            .stdin(std::process::Stdio::piped())
            .stdout(writer.try_clone().expect("a pipe"))
            .stderr(writer)
            .process_group(0);
        let mut shell = command.spawn().expect("a shell");
        drop(command); // and its ends of the pipe
        let typed = shell.stdin.take().expect("it was asked for");
        let (tell, said) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(reader).split(b'\n') {
                let Ok(line) = line else { return };
                if tell.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { shell, typed, said, net: Net::of_this_process(), folder, is_shown }
    }

    /// Types a command and waits for its end, which has to be the one that is promised.
    pub(super) fn run(&mut self, shown: &Shown) {
        if self.is_shown {
            println!("$ {}", shown.text.replace('\n', "\n> "));
        }
        let typed = format!("{{ {}\n}} </dev/null\nprintf '\\n%s %s\\n' '{ENDED}' $?\n", self.net.inside(&shown.text));
        self.typed.write_all(typed.as_bytes()).expect("the shell listens");
        let until = Instant::now() + PATIENCE;
        let mut said = Vec::new();
        let code = loop {
            let Ok(line) = self.said.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                self.fail(shown, &said, &format!("did not end within {PATIENCE:?}, or ended the shell"));
            };
            if let Some(code) = line.strip_prefix(ENDED) {
                break code.trim().parse::<i32>().expect("an exit code");
            }
            said.push(self.net.outside(&line));
        };
        if said.last().is_some_and(String::is_empty) {
            said.pop(); // it is ours
        }
        if self.is_shown {
            said.iter().for_each(|line| println!("{line}"));
        }
        if code != shown.exits_with {
            self.fail(shown, &said, &format!("ended with {code}, and not with {}", shown.exits_with));
        }
    }

    fn fail(&self, shown: &Shown, said: &[String], why: &str) -> ! {
        let mut told = format!("below {:?}:\n{}\n{why}; it said:\n{}\n", shown.heading, shown.text, said.join("\n"));
        for log in logs(&self.folder.path().join("home")) {
            let text = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let newest = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
            let _ = write!(told, "--- {}\n{newest}\n", log.display());
        }
        panic!("{told}");
    }
}

/// The files `*.log` below a folder.
fn logs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())) {
        if path.is_dir() {
            found.extend(logs(&path));
        } else if path.extension().is_some_and(|kind| kind == "log") {
            found.push(path);
        }
    }
    found.sort();
    found
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = killpg(Pid::from_raw(self.shell.id().cast_signed()), Signal::SIGKILL);
        let _ = self.shell.wait();
    }
}
