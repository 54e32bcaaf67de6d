//! `graftd config check|print|schema`: looks at the configuration and starts nothing.

use std::io::Write;
use std::process::ExitCode;

use super::error::EXIT_CONFIG;
use crate::config::{CheckArgs, ConfigCommand, ConfigError, Flags, Loaded, Problem, Sources, data_dir_usable, load, print, schema};

/// Does what was asked: what it is about goes to standard output, what is wrong with it to standard error.
pub fn configuration(flags: &Flags, command: &ConfigCommand) -> ExitCode {
    match command {
        ConfigCommand::Check(args) => check(flags, args),
        ConfigCommand::Print(args) if args.defaults => say(&print(&Loaded::default(), args)),
        ConfigCommand::Print(args) => match load(flags, &Sources::of_process()) {
            Ok(loaded) => {
                // Also what will be refused can be looked at: that is when one wants to.
                let printed = say(&print(&loaded, args));
                if loaded.problems.is_empty() { printed } else { refused(&loaded.problems) }
            }
            Err(error) => refused(&error.problems),
        },
        ConfigCommand::Schema => say(&format!("{:#}\n", schema())),
    }
}

fn check(flags: &Flags, args: &CheckArgs) -> ExitCode {
    let loaded = match load(flags, &Sources::of_process()) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error.problems),
    };
    let mut warnings = loaded.warnings.clone();
    if let Err(why) = data_dir_usable(&loaded.config.node.data_dir) {
        let remedy = "make it a directory that the daemon's user may write; on another machine than the daemon's, this says nothing";
        warnings.push(Problem::of("node.data_dir", why, remedy).said_in(loaded.origin(&["node", "data_dir"]).to_string()));
    }
    if !loaded.problems.is_empty() || (args.strict && !warnings.is_empty()) {
        let all: Vec<Problem> = loaded.problems.into_iter().chain(warnings).collect();
        return refused(&all);
    }
    for warning in &warnings {
        eprintln!("warning: {warning}");
    }
    if args.files {
        let member = loaded.config.node.name.clone().unwrap_or_else(super::host_name);
        let unfit = super::options::unfit_files(&loaded.config, &member, false);
        if !unfit.is_empty() {
            let told: Vec<String> = unfit.iter().map(ToString::to_string).collect();
            eprintln!("graftd: files that the configuration names are refused\n{}", told.join("\n"));
            return ExitCode::from(EXIT_CONFIG);
        }
    }
    let files = match loaded.files.as_slice() {
        [] => "no file".to_owned(),
        files => files.join(", "),
    };
    say(&format!("the configuration is good: {} of its keys are set ({files}, the environment and the flags)\n", loaded.said()))
}

fn refused(problems: &[Problem]) -> ExitCode {
    eprintln!("graftd: the configuration is refused\n{}", ConfigError { problems: problems.to_vec() });
    ExitCode::from(EXIT_CONFIG)
}

/// Whoever reads may have had enough: that is no failure.
fn say(text: &str) -> ExitCode {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    ExitCode::SUCCESS
}
