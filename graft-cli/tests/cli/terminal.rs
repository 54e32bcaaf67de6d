//! What a person sees: `graft` on a terminal.

use std::fs::File;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::pty::{Winsize, openpty};

use crate::here::{Here, within};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// `graft` on a terminal of its own.
struct OnTerminal {
    child: Child,
    written: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl OnTerminal {
    fn run(words: &[&str]) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
        command.args(words).env_remove("GRAFT_ADDR").env_remove("GRAFT_NAMESPACE").env_remove("NO_COLOR");
        let end = |slave: &std::os::fd::OwnedFd| Stdio::from(slave.try_clone().unwrap());
        command.stdin(end(&terminal.slave)).stdout(end(&terminal.slave)).stderr(end(&terminal.slave));
        let child = command.spawn().unwrap();
        // The reading ends when nobody holds the other side any more.
        drop((command, terminal.slave));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut master, into) = (File::from(terminal.master), written.clone());
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                into.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, written, reader }
    }

    /// What was written so far, as it came.
    fn written(&self) -> String {
        String::from_utf8_lossy(&self.written.lock().unwrap()).into_owned()
    }

    /// Waits until the terminal shows this.
    async fn shows(&self, what: &str) -> Vec<String> {
        let seen = async {
            loop {
                let rows = shown(&self.written());
                if rows.iter().any(|row| row.contains(what)) {
                    return rows;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        within(what, seen).await
    }

    /// Waits for the end: the exit code, and all that was written.
    async fn end(mut self) -> (i32, String) {
        let ended = tokio::task::spawn_blocking(move || {
            let code = self.child.wait().unwrap().code().unwrap_or(-1);
            self.reader.join().unwrap();
            let text = String::from_utf8(self.written.lock().unwrap().clone()).unwrap();
            (code, text)
        });
        within("the end of graft on a terminal", ended).await.unwrap()
    }
}

/// The rows that a terminal shows after these bytes: what `graft` sends is understood, anything else is a mistake.
fn shown(written: &str) -> Vec<String> {
    let (mut rows, mut row, mut column) = (vec![Vec::new()], 0, 0);
    let mut rest = written.chars();
    while let Some(c) = rest.next() {
        match c {
            '\r' => column = 0,
            '\n' => row += 1,
            '\u{1b}' => {
                assert_eq!(rest.next(), Some('['), "a sequence that is not understood");
                let mut parameters = String::new();
                let kind = loop {
                    match rest.next() {
                        Some(c) if c.is_ascii_alphabetic() => break c,
                        Some(c) => parameters.push(c),
                        None => return rows.iter().map(|row| row.iter().collect()).collect(), // the rest has still to come
                    }
                };
                match (kind, parameters.as_str()) {
                    ('F', up) => (row, column) = (row - up.parse::<usize>().unwrap(), 0),
                    ('J', "" | "0") => {
                        rows.truncate(row + 1);
                        rows[row].truncate(column);
                    }
                    ('h' | 'l', "?25" | "?7" | "?2026") | ('m', _) => {}
                    other => panic!("a sequence that is not understood: {other:?}"),
                }
            }
            c => {
                let line: &mut Vec<char> = &mut rows[row];
                line.resize(column, ' ');
                line.push(c);
                column += 1;
            }
        }
        rows.resize(rows.len().max(row + 1), Vec::new());
    }
    rows.iter().map(|row| row.iter().collect()).collect()
}

/// Rows without what depends on time.
fn timeless(rows: &[String]) -> Vec<&str> {
    rows.iter().map(|row| row.trim_start_matches(' ').split("  ").next().unwrap()).filter(|row| !row.is_empty()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_draws_the_growing_tree_in_place() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "split"]).await;
    here.holds(1).await;
    let watch = OnTerminal::run(&["--addr", &here.addr, "workflow", "watch", "a"]);
    watch.shows("✓ count #3").await;
    let rows = watch.shows("● hold #2").await;
    assert_eq!(timeless(&rows), ["a", "✓ split #1", "├─ ● hold #2", "└─ ✓ count #3", "⋈ count"], "{rows:#?}");
    assert!(rows[0].contains("running") && rows[4].contains("waits for 1 of 2"), "{rows:#?}");
    assert!(watch.written().contains("\u{1b}[?25l"), "the cursor is hidden while it is drawn");

    here.let_go();
    let (code, written) = watch.end().await;
    let rows = shown(&written);
    assert_eq!(code, 0, "{rows:#?}");
    assert_eq!(timeless(&rows), ["a", "✓ split #1", "├─ ✓ hold #2", "│", "└─ ✓ count #3", "✓ count #5"], "{rows:#?}");
    assert!(rows[0].contains("completed") && rows[0].contains("5 of 5 tasks done") && rows[3].contains("✓ count #4"), "{rows:#?}");
    assert!(written.ends_with("\u{1b}[?7h\u{1b}[?25h"), "the terminal is given back as it was");
    assert!(rows.len() < ROWS.into() && rows.iter().all(|row| row.chars().count() < COLUMNS.into()), "{rows:#?}");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_of_a_failure_says_so_below_the_tree() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "f", "--node", "paint"]).await;
    let (code, written) = OnTerminal::run(&["--addr", &here.addr, "workflow", "watch", "f"]).end().await;
    let rows = shown(&written);
    assert_eq!(code, 10, "{rows:#?}");
    assert!(rows[1].starts_with("✗ paint #1") && rows[2].starts_with("error: workflow \"f\" ended as failed"), "{rows:#?}");
    here.stop().await;
}
