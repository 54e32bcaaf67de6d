//! Every command that the pages in `deploy` show, run as they show it: page by page, from top to bottom, in a shell and an empty folder, with
//! `graft` and `graftd` on the path and real daemons.
//!
//! ```text
//! cargo test -p graft-cli --test pages                            # all of them
//! cargo test -p graft-cli --test pages -- operating --transcript  # one, and what a reader would see in the terminal
//! ```
//!
//! A page is a session: what one command made, the next one uses. One that says that its commands go on after a section of another page begins with
//! those up to there. Commands stand in blocks of `sh`; each has to end with 0, or with what the comment
//! behind it says (`# exits with 76`). Blocks of `console` are for machines that are not here (systemd, say): `cli_tests.rs` holds them against the
//! programs' flags. Pages that need more than a shell are run by others ([`ELSEWHERE`]).
//!
//! The three machines of the pages are `127.0.0.1` to `127.0.0.3`. Here they are a net of loopback of their own ([session::Net]), so that nothing
//! else is in the way.
//!
//! `graftd` is this very program, called by that name: a daemon that is as old as the test.

mod page;
mod session;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use graftd::config::{ConfigError, Flags, Sources, load};
use page::Page;
use session::Session;

/// Pages of `deploy` that are run by somebody else, or show nothing to run.
const ELSEWHERE: [(&str, &str); 2] = [("kubernetes", "tests/helm/run"), ("configuration", "made from the code")];

fn deploy() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the command line is a package of the workspace").join("deploy")
}

/// The pages, in the order of their names.
fn pages() -> Vec<Page> {
    let entries = std::fs::read_dir(deploy()).expect("the folder of the pages");
    let paths = entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.extension().is_some_and(|kind| kind == "md"));
    let mut pages: Vec<Page> = paths.map(|path| Page::read(&path)).collect();
    pages.sort_by(|a, b| a.name.cmp(&b.name));
    pages
}

fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| Path::new(&name).file_name().is_some_and(|name| name == "graftd")) {
        return graftd::main_from_args();
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let is_shown = words.iter().any(|word| word == "--transcript");
    let asked: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    page::commands_are_found();
    let pages = pages();
    for (name, _) in ELSEWHERE {
        assert!(pages.iter().any(|page| page.name == name), "there is no deploy/{name}.md");
    }
    for page in pages.iter().filter(|page| ELSEWHERE.iter().all(|(name, _)| page.name != *name)) {
        if asked.is_empty() || asked.iter().any(|asked| page.name.contains(asked.as_str())) {
            run(page, &pages, is_shown);
        }
    }
    ExitCode::SUCCESS
}

/// Runs a page from top to bottom.
fn run(page: &Page, pages: &[Page], is_shown: bool) {
    let before = page.goes_on_after().map_or_else(Vec::new, |(name, section)| {
        let other = pages
            .iter()
            .find(|page| page.name == name)
            .unwrap_or_else(|| panic!("{}.md goes on after {name}.md, which is not there", page.name));
        other.commands_up_to(&section)
    });
    let commands = page.commands();
    assert!(!commands.is_empty(), "deploy/{}.md shows no command", page.name);
    for configuration in page.configurations() {
        accepted(&configuration).unwrap_or_else(|error| panic!("deploy/{}.md shows a configuration that is refused: {error}", page.name));
    }
    let began = std::time::Instant::now();
    let mut session = Session::new(Path::new(env!("CARGO_BIN_EXE_graft")), is_shown);
    let mut heading = "";
    for command in before.iter().chain(&commands) {
        if is_shown && command.heading != heading {
            println!("\n### {}\n", command.heading);
        }
        heading = &command.heading;
        session.run(command);
    }
    println!("deploy/{}.md: {} commands ran as they are shown, in {:.1} s", page.name, commands.len(), began.elapsed().as_secs_f64());
}

/// Whether graftd would start with it.
fn accepted(configuration: &str) -> Result<(), ConfigError> {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("graftd.toml");
    std::fs::write(&file, configuration).expect("a file");
    load(&Flags { config: Some(file), ..Flags::default() }, &Sources::none())?.accepted().map(drop)
}
