//! The tree of commands is sound, and every example in it is one.

use clap::CommandFactory;

use super::workflow::Start;
use super::*;

#[test]
fn the_tree_is_sound() {
    Cli::command().debug_assert();
}

fn verbs(command: &clap::Command, path: &str, found: &mut Vec<(String, String)>) {
    let path = format!("{path}{}", command.get_name());
    if !command.has_subcommands() {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        found.push((path, help));
        return;
    }
    for sub in command.get_subcommands() {
        verbs(sub, &format!("{path} "), found);
    }
}

#[test]
fn the_help_of_every_verb_has_an_example_of_that_verb_that_parses() {
    let mut found = Vec::new();
    verbs(&Cli::command(), "", &mut found);
    assert!(found.len() >= 36, "{found:?}");
    for (path, help) in found {
        let examples: Vec<&str> = help.lines().filter_map(|line| line.find(&path).map(|at| &line[at..])).collect();
        assert!(!examples.is_empty(), "the help of `{path}` has no example: {help}");
        for example in examples {
            // What another program does with its output is not looked at.
            let words = words([" | ", " > ", " && "].iter().fold(example, |rest, end| rest.split(end).next().unwrap_or(rest)));
            Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("the example of `{path}` does not parse: {words:?}: {error}"));
        }
    }
}

#[test]
fn every_command_that_a_page_of_an_error_names_is_one() {
    let mut seen = 0;
    for code in graft_client::ErrorCode::ALL {
        let text = format!("{} {}", code.remedy(), code.page()).replace('\n', " ");
        for command in text.split('`').skip(1).step_by(2).filter(|quoted| quoted.starts_with("graft ")) {
            seen += 1;
            let command = command.split_whitespace().collect::<Vec<_>>().join(" ");
            let words = words(&command.replace('…', "http://127.0.0.1:7420").replace("WORKFLOW/TASK", "order-1042/7"));
            if let Err(error) = Cli::try_parse_from(words) {
                // A command may be named without what it needs.
                use clap::error::ErrorKind::MissingRequiredArgument;
                assert_eq!(error.kind(), MissingRequiredArgument, "{code} names `{command}`: {error}");
            }
        }
    }
    assert!(seen > 30, "{seen}");
}

/// Every page of this repository that somebody types from; those of errors have a test of their own.
fn pages() -> Vec<(String, String)> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let folders = ["", "deploy", "deploy/package", "deploy/prometheus", "deploy/helm/graft", "graft-client", "graftd"];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
    let is_page = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "md") && !path.ends_with("CHANGELOG.md");
    let paths = entries.map(|entry| entry.unwrap().path()).filter(is_page);
    paths.map(|path| (path.strip_prefix(root).unwrap().display().to_string(), std::fs::read_to_string(&path).unwrap())).collect()
}

/// What a page shows as commands of `graft` or `graftd`: lines of its blocks, and what is quoted in its sentences.
fn shown(page: &str) -> Vec<String> {
    let (mut found, mut sentences, mut is_block) = (Vec::new(), String::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            is_block = !is_block;
        } else if is_block {
            found.push(line.trim_start_matches("$ ").to_owned());
        } else {
            sentences += line;
            sentences.push('\n');
        }
    }
    found.extend(sentences.split('`').skip(1).step_by(2).map(|quoted| quoted.split_whitespace().collect::<Vec<_>>().join(" ")));
    found.retain(|text| text.starts_with("graft ") || text.starts_with("graftd "));
    found
}

#[test]
fn every_command_that_a_page_of_this_repository_names_is_one() {
    use clap::error::ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand, DisplayVersion, MissingRequiredArgument};
    let mut seen = 0;
    for (page, text) in pages() {
        for command in shown(&text) {
            seen += 1;
            // What follows is the shell's.
            let ends = ["  #", " > ", " | ", " & ", " && ", "; ", " \\", "$("];
            let text = ends.iter().fold(command.as_str(), |text, end| text.split(end).next().unwrap());
            let words = words(&text.trim_end().replace('"', "'"));
            let parsed = match words[0].as_str() {
                "graftd" => graftd::config::Cli::try_parse_from(&words).map(drop),
                _ => Cli::try_parse_from(&words).map(drop),
            };
            if let Err(error) = parsed {
                // A command may be named without what it needs.
                let named = [MissingRequiredArgument, DisplayHelp, DisplayVersion, DisplayHelpOnMissingArgumentOrSubcommand];
                assert!(named.contains(&error.kind()), "{page} names `{command}`: {error}");
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

/// Splits at spaces, as a shell does: what is quoted stays together.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut quoted) = (vec![String::new()], false);
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

#[test]
fn a_wait_takes_its_bound_after_an_equals_sign() {
    use super::value::Wait;
    let wait = |words: &[&str]| {
        let cli = Cli::try_parse_from([&["graft", "workflow", "start", "a", "--node", "n"], words].concat()).unwrap();
        let Noun::Workflow(Workflow::Start(Start { waiting, .. })) = cli.noun else { panic!("another verb") };
        waiting.wait
    };
    assert_eq!(wait(&[]), None);
    assert_eq!(wait(&["--wait"]), Some(Wait::Forever));
    assert_eq!(wait(&["--wait=5s"]), Some(Wait::AtMost(Duration::from_secs(5))));
}

#[test]
fn flags_that_contradict_each_other_are_refused() {
    for line in [
        "graft -q -v workflow list",
        "graft workflow list --all --cursor c",
        "graft workflow list --counts --status failed",
        "graft workflow start --many f --node n",
        "graft workflow start --many f a",
        "graft workflow start --many f --wait",
        "graft dead-letter redrive a/1 --node n",
        "graft dead-letter redrive a/1 --every",
        "graft dead-letter discard --every --yes --dry-run",
        "graft dead-letter list --run 2",
        "graft limit set pick --cluster --max 1",
        "graft limit set --max 1",
        "graft limit set pick --max 0",
        "graft task list --run 2",
    ] {
        let refused = Cli::try_parse_from(line.split(' '));
        assert!(refused.is_err(), "{line} was taken");
    }
}

#[test]
fn the_form_of_answers_is_known_before_the_flags_are_read() {
    let format = |line: &str| format_of(line.split(' ').map(OsString::from));
    for line in
        ["graft -o json workflow strat", "graft workflow strat -ojson", "graft --output=json x", "graft x --output json", "graft -o=json"]
    {
        assert_eq!(format(line), Format::Json, "{line}");
    }
    for line in ["graft workflow strat", "graft -o xml", "graft -o", "graft --outputs json"] {
        assert_eq!(format(line), Format::Table, "{line}");
    }
}
