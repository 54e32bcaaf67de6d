//! What a person sees: `graft` on a terminal.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::pty::{Winsize, openpty};

use crate::dead_letters::given_up;
use crate::here::{Here, NO_CONFIG, VARIABLES, interrupt, within};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// `graft` on a terminal of its own.
struct OnTerminal {
    child: Child,
    keys: File,
    written: Arc<Mutex<Vec<u8>>>,
    reader: JoinHandle<()>,
}

impl OnTerminal {
    fn run(words: &[&str]) -> Self {
        Self::run_with(words, &[])
    }

    fn run_with(words: &[&str], variables: &[(&str, &str)]) -> Self {
        let size = Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 };
        let terminal = openpty(&size, None).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_graft"));
        command.args(words);
        for name in VARIABLES {
            command.env_remove(name);
        }
        // Whoever runs the tests may have no terminal that can do anything; this one can.
        command.env("XDG_CONFIG_HOME", NO_CONFIG).env("TERM", "xterm").envs(variables.iter().copied());
        let end = |slave: &std::os::fd::OwnedFd| Stdio::from(slave.try_clone().unwrap());
        command.stdin(end(&terminal.slave)).stdout(end(&terminal.slave)).stderr(end(&terminal.slave));
        let child = command.spawn().unwrap();
        // The reading ends when nobody holds the other side any more.
        drop((command, terminal.slave));
        let written = Arc::new(Mutex::new(Vec::new()));
        let (mut master, into) = (File::from(terminal.master), written.clone());
        let keys = master.try_clone().unwrap();
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                into.lock().unwrap().extend_from_slice(&bytes[..count]);
            }
        });
        Self { child, keys, written, reader }
    }

    /// Types on its keyboard.
    fn types(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).unwrap();
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

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watch_folds_what_is_much_and_unfolds_it_on_demand() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "w", "--node", "wide"]).await;
    let (code, written) = OnTerminal::run(&["--addr", &here.addr, "workflow", "watch", "w"]).end().await;
    let rows = shown(&written);
    assert_eq!(code, 0, "{rows:#?}");
    assert_eq!(timeless(&rows), ["w", "✓ wide #1", "└─ ✓ count ×20", "✓ count #22"], "{rows:#?}");
    let (_, written) = OnTerminal::run(&["--addr", &here.addr, "workflow", "watch", "w", "--unfold", "count"]).end().await;
    assert_eq!(timeless(&shown(&written)).len(), 23, "{written}");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_terminal_gets_colours_unless_it_is_told_otherwise() {
    let here = Here::start().await;
    let coloured = async |words: &[&str], variables: &[(&str, &str)]| {
        let (code, written) =
            OnTerminal::run_with(&[&["--addr", here.addr.as_str(), "worker", "list"], words].concat(), variables).end().await;
        assert_eq!(code, 0, "{written}");
        written.contains("\u{1b}[")
    };
    assert!(coloured(&[], &[]).await);
    assert!(!coloured(&[], &[("NO_COLOR", "1")]).await);
    assert!(!coloured(&[], &[("TERM", "dumb")]).await);
    assert!(!coloured(&["--color", "never"], &[]).await);
    assert!(coloured(&["--color", "always"], &[("NO_COLOR", "1")]).await);
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_history_on_a_terminal_goes_through_a_pager() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "wide", "--wait"]).await;
    let history = async |words: &[&str], variables: &[(&str, &str)]| {
        let words = [&["--addr", here.addr.as_str(), "--color", "never", "workflow", "history", "a"], words].concat();
        let (code, written) = OnTerminal::run_with(&words, variables).end().await;
        assert_eq!(code, 0, "{written}");
        shown(&written)
    };
    let paged = ("PAGER", "sed 's/^/page: /'");
    let rows = history(&["--all"], &[paged]).await;
    assert!(rows[0].starts_with("page:     1  ") && rows.iter().all(|row| row.is_empty() || row.starts_with("page: ")), "{rows:#?}");
    let rows = history(&["--all"], &[paged, ("GRAFT_PAGER", "sed s/^/mine:/")]).await;
    assert!(rows[0].starts_with("mine:"), "{rows:#?}");
    for (flags, variables) in
        [(&["--no-pager"][..], &[paged][..]), (&[], &[("PAGER", "cat")]), (&[], &[("PAGER", "")]), (&["-o", "jsonl"], &[paged])]
    {
        let rows = history(flags, variables).await;
        assert!(rows[0].starts_with("    1  ") || rows[0].starts_with('{'), "{flags:?} {variables:?}: {rows:#?}");
    }
    // A pager that is left early, and one that is not there.
    let rows = history(&["--all"], &[("PAGER", "head -n 1")]).await;
    assert_eq!(rows.iter().filter(|row| !row.is_empty()).count(), 1, "{rows:#?}");
    let rows = history(&[], &[("PAGER", "no-such-pager")]).await;
    assert!(rows[0].contains("no-such-pager") && rows[1].starts_with("    1  "), "{rows:#?}");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_watched_list_is_drawn_in_place_and_gives_the_terminal_back() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "nobody"]).await;
    let watch = OnTerminal::run(&["--addr", &here.addr, "workflow", "list", "--watch=20ms"]);
    watch.shows("running").await;
    here.json(&["workflow", "terminate", "a"]).await;
    let rows = watch.shows("terminated").await;
    assert_eq!(rows.iter().filter(|row| !row.is_empty()).count(), 2, "drawn over: {rows:#?}");
    interrupt(watch.child.id());
    let (code, written) = watch.end().await;
    assert_eq!(code, 130);
    assert!(written.contains("\u{1b}[?25h"), "the cursor is there again");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_takes_long_shows_a_sign_of_life_on_a_terminal_only() {
    let here = Here::start().await;
    let directory = tempfile::tempdir().unwrap();
    let bench = ["--addr", &here.addr, "bench", "--duration", "500ms", "--warmup", "100ms", "--concurrency", "2", "--fsync-dir"];
    let bench = [&bench[..], &[directory.path().to_str().unwrap()]].concat();
    let (code, written) = OnTerminal::run(&bench).end().await;
    assert_eq!(code, 0, "{written}");
    assert!(written.contains("measuring"), "{written}");
    let (_, quiet) = OnTerminal::run(&[&bench[..], &["-q"]].concat()).end().await;
    assert!(!quiet.contains("measuring") && quiet.contains("workflows/s"), "{quiet}");
    let elsewhere = here.graft(&bench[2..]).await;
    assert_eq!((elsewhere.code, elsewhere.stderr.as_str()), (0, "Its workflows stay in namespace \"default\" for 10 minutes.\n"));
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_cannot_be_undone_is_asked_about_on_a_terminal() {
    let here = Here::start().await;
    here.json(&["workflow", "start", "a", "--node", "nobody"]).await;
    let terminate = ["--addr", here.addr.as_str(), "workflow", "terminate", "a"];
    for (typed, code, status) in [("b\n", 4, "running"), ("\n", 4, "running"), ("a\n", 0, "terminated")] {
        let mut ran = OnTerminal::run(&terminate);
        ran.shows("To terminate workflow a, type a: ").await;
        ran.types(typed);
        let (ended, written) = ran.end().await;
        assert_eq!(ended, code, "{typed:?}: {written}");
        assert_eq!(here.json(&["workflow", "get", "a"]).await["status"], status, "{typed:?}: {written}");
        assert_eq!(written.contains("nothing was changed"), code != 0, "{written}");
    }
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_starts_show_how_far_they_have_come_on_a_terminal_only() {
    let here = Here::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines: String = (0..2_500).map(|_| "{\"node\":\"nobody\"}\n").collect();
    std::fs::write(file.path(), lines).unwrap();
    let start = ["--addr", &here.addr, "workflow", "start", "--many", file.path().to_str().unwrap()];
    let (code, written) = OnTerminal::run(&start).end().await;
    assert_eq!(code, 0, "{written}");
    assert!(written.contains("starting") && written.contains("of 2,500"), "{written}");
    let (_, quiet) = OnTerminal::run(&[&start[..], &["-q"]].concat()).end().await;
    assert!(!quiet.contains("starting"), "{quiet}");
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_a_filter_finds_is_shown_and_its_number_must_be_typed() {
    let here = Here::start().await;
    for id in ["a", "b"] {
        here.json(&["workflow", "start", id, "--node", "fail"]).await;
        crate::tasks::task_is(&here, &format!("{id}/1"), "dead-lettered").await;
    }
    let discard = ["--addr", here.addr.as_str(), "dead-letter", "discard", "--node", "fail"];
    for (typed, code, left) in [("yes\n", 4, 2), ("2\n", 0, 0)] {
        let mut ran = OnTerminal::run(&discard);
        let rows = ran.shows("To discard 2 dead letters, type 2: ").await;
        assert!(rows.iter().any(|row| row.contains("a/1")) && rows.iter().any(|row| row.contains("b/1")), "{rows:#?}");
        ran.types(typed);
        let (ended, written) = ran.end().await;
        assert_eq!(ended, code, "{typed:?}: {written}");
        assert_eq!(here.json(&["dead-letter", "list"]).await["dead_letters"].as_array().unwrap().len(), left, "{written}");
    }
    here.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_is_agreed_to_is_what_was_shown_whatever_has_come_since() {
    let here = Here::start().await;
    given_up(&here, &["a", "b", "c"]).await;
    let mut discard = OnTerminal::run(&["--addr", &here.addr, "dead-letter", "discard", "--node", "choosy", "--limit", "2"]);
    let rows = discard.shows("To discard 2 dead letters, type 2:").await;
    assert!(rows[0].contains("a/1") && rows[1].contains("b/1"), "{rows:#?}");
    // One of the two is gone by now, and there is another one.
    assert_eq!(here.graft(&["dead-letter", "discard", "a/1"]).await.code, 0);
    given_up(&here, &["d"]).await;
    discard.types("2\n");
    let (code, written) = discard.end().await;
    assert_eq!(code, 1, "one of them was refused: {written}");
    let left = here.json(&["dead-letter", "list"]).await;
    let left: Vec<_> = left["dead_letters"].as_array().unwrap().iter().map(|letter| letter["workflow_id"].as_str().unwrap()).collect();
    assert_eq!(left, ["c", "d"]);
    here.stop().await;
}
