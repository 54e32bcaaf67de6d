//! What the compiler cannot guard: import floors, who may spell which library, documented protocols, versions in one place.
//!
//! The floors are those of `graftd/ARCHITECTURE.md`. A failing rule names the file, the line and the rule.

use std::fs;
use std::path::{Path, PathBuf};

/// For each folder or file of `graftd/src`: which of its neighbours it may import. What is not listed may not be imported.
const FLOORS: &[(&str, &[&str])] = &[
    ("built.rs", &[]),
    ("clock.rs", &[]),
    ("shutdown.rs", &[]),
    ("crowd.rs", &[]),
    ("auth", &["crowd", "tls"]),
    ("config", &["auth", "built", "observability", "tls"]),
    ("observability", &["built", "tls"]),
    ("tls", &["crowd"]),
    ("discovery", &["auth", "built", "observability", "tls"]),
    ("storage", &["observability"]),
    ("consensus", &["storage", "clock", "observability", "discovery", "tls", "auth"]),
    ("scheduler", &["consensus", "clock", "observability"]),
    ("api", &["scheduler", "consensus", "storage", "clock", "crowd", "observability", "discovery", "tls", "auth"]),
    (
        "app",
        &["api", "scheduler", "consensus", "storage", "built", "clock", "observability", "discovery", "tls", "auth", "config", "shutdown"],
    ),
];

/// A library, and the only places below `graftd/src` that may spell it.
const SPELLED_IN: &[(&str, &[&str])] = &[
    ("openraft::", &["consensus"]),
    ("redb::", &["storage"]),
    ("axum::", &["api"]),
    ("hyper_util::", &["api", "tls"]),
    ("rustls::", &["tls"]),
    ("kube::", &["discovery"]),
    ("mdns_sd::", &["discovery"]),
    ("tonic::", &["api", "consensus", "discovery", "observability", "tls", "app.rs"]),
    ("graft_proto::v1", &["api"]),
    ("SystemTime::now", &["clock.rs"]),
    (
        "tokio::",
        &[
            "auth",
            "consensus",
            "scheduler",
            "api",
            "discovery",
            "tls",
            "observability",
            "shutdown.rs",
            "crowd.rs",
            "app",
            "app.rs",
            "main.rs",
        ],
    ),
];

/// Longest file, in lines. A file that tells one story is shorter.
const FILE_LINES_MAX: usize = 900;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests package stands below the root").to_owned()
}

/// All files below `dir` whose name ends so, in order; build output and version control left out.
fn files(dir: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![dir.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display())) {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
            if path.is_dir() {
                if !matches!(name.as_str(), "target" | ".git" | "node_modules") {
                    waiting.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The code of a file, line by line with numbers. Left out: comments, items of one line that are for tests only, and everything from an inline
/// `mod` of tests on.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines: Vec<&str> = text.lines().collect();
    let mut shown = Vec::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if line.trim() == "#[cfg(test)]" {
            // The item may have attributes of its own.
            let item = (at + 1..lines.len()).find(|next| !lines[*next].trim_start().starts_with('#')).unwrap_or(at);
            if !lines[item].trim_end().ends_with(';') {
                break;
            }
            at = item;
        } else if !line.trim_start().starts_with("//") {
            shown.push((at + 1, line));
        }
        at += 1;
    }
    shown.into_iter()
}

#[test]
fn what_is_for_tests_only_is_left_out_and_nothing_behind_it() {
    let text = "use a;\n// b\n#[cfg(test)]\n#[path = \"x.rs\"]\nmod x;\nuse c;\n#[cfg(test)]\nmod tests {\nuse d;\n}\n";
    assert_eq!(code(text).collect::<Vec<_>>(), [(1, "use a;"), (6, "use c;")]);
}

fn report(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// First step of a path below `graftd/src`.
fn floor_of(path: &Path, src: &Path) -> String {
    let step = path.strip_prefix(src).expect("below src").components().next().expect("a file").as_os_str().to_str().expect("utf-8");
    step.to_owned()
}

#[test]
fn imports_point_down_only() {
    let src = root().join("graftd/src");
    let mut broken = Vec::new();
    for path in files(&src, ".rs") {
        let floor = floor_of(&path, &src);
        if matches!(floor.as_str(), "lib.rs" | "main.rs") {
            continue;
        }
        let own = floor.trim_end_matches(".rs");
        let Some((_, allowed)) = FLOORS.iter().find(|(name, _)| name.trim_end_matches(".rs") == own) else {
            broken.push(format!("{}: no floor is declared for {floor:?}", path.display()));
            continue;
        };
        for (number, line) in code(&read(&path)) {
            for seen in line.split("crate::").skip(1) {
                let target: String = seen.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if !target.is_empty() && target != own && !allowed.contains(&target.as_str()) {
                    broken.push(format!("{}:{number}: {own} imports crate::{target}", path.display()));
                }
            }
        }
    }
    report("imports point down only (see ARCHITECTURE.md)", &broken);
}

#[test]
fn each_library_is_spelled_in_its_own_folder_only() {
    let src = root().join("graftd/src");
    let mut broken = Vec::new();
    for path in files(&src, ".rs") {
        let floor = floor_of(&path, &src);
        for (number, line) in code(&read(&path)) {
            for (library, places) in SPELLED_IN {
                if line.contains(library) && !places.contains(&floor.as_str()) {
                    broken.push(format!("{}:{number}: spells {library}", path.display()));
                }
            }
        }
    }
    report("each library is spelled in its own folder only", &broken);
}

#[test]
fn the_machine_depends_on_nothing_that_can_do_io() {
    const ALLOWED: &[&str] = &["bytes", "prost", "serde_json", "thiserror", "xxhash-rust"];
    let manifest = read(&root().join("graftd/machine/Cargo.toml"));
    let dependencies = manifest.split("[dependencies]").nth(1).and_then(|rest| rest.split("\n[").next()).expect("dependencies");
    let broken: Vec<String> = dependencies
        .lines()
        .filter_map(|line| line.split(['.', ' ', '=']).next())
        .filter(|name| !name.is_empty() && !name.starts_with('#') && !ALLOWED.contains(name))
        .map(str::to_owned)
        .collect();
    report("graft-machine may depend on pure libraries only", &broken);

    let mut impure = Vec::new();
    for path in files(&root().join("graftd/machine/src"), ".rs") {
        for (number, line) in code(&read(&path)) {
            for word in ["std::fs", "std::net", "std::thread", "std::time", "std::env", "HashMap", "HashSet", "println!", "thread_local!"] {
                if line.contains(word) {
                    impure.push(format!("{}:{number}: {word}", path.display()));
                }
            }
        }
    }
    report("graft-machine has no clock, no IO, no randomness", &impure);
}

#[test]
fn versions_stand_in_the_workspace_manifest_only() {
    let mut broken = Vec::new();
    for path in files(&root(), "Cargo.toml") {
        if path.parent() == Some(root().as_path()) {
            continue;
        }
        let text = read(&path);
        let mut in_dependencies = false;
        for (number, line) in text.lines().enumerate() {
            if line.starts_with('[') {
                in_dependencies = line.contains("dependencies");
            } else if in_dependencies && !line.trim().is_empty() && !line.starts_with('#') && !line.contains("workspace") {
                broken.push(format!("{}:{}: {line}", path.display(), number + 1));
            }
        }
    }
    report("versions stand in the workspace Cargo.toml", &broken);
}

#[test]
fn no_package_has_lints_of_its_own_and_unsafe_code_is_forbidden_in_all() {
    let workspace = read(&root().join("Cargo.toml"));
    assert!(workspace.lines().any(|line| line == "unsafe_code = \"forbid\""), "Cargo.toml: unsafe code is forbidden for the workspace");
    let mut broken = Vec::new();
    for path in files(&root(), "Cargo.toml") {
        let text = read(&path);
        if text.starts_with("[package]") && !text.contains("\n[lints]\nworkspace = true\n") {
            broken.push(path.display().to_string());
        }
    }
    report("every package has `[lints] workspace = true`", &broken);
}

#[test]
fn every_part_of_the_protocols_is_commented() {
    let mut broken = Vec::new();
    for path in files(&root().join("proto"), ".proto") {
        let text = read(&path);
        let mut before = "";
        for (number, line) in text.lines().enumerate() {
            let now = line.trim();
            let declares = now.starts_with("message ")
                || now.starts_with("enum ")
                || now.starts_with("service ")
                || now.starts_with("rpc ")
                || now.starts_with("oneof ")
                || (now.contains(" = ") && now.ends_with(';') && !now.starts_with("option ") && !now.starts_with("syntax"));
            if declares && !before.starts_with("//") {
                broken.push(format!("{}:{}: {now}", path.display(), number + 1));
            }
            before = now;
        }
    }
    report("every message, field, value and call of a protocol has a comment", &broken);
}

#[test]
fn every_source_file_says_what_it_is_for_and_stays_readable() {
    let mut broken = Vec::new();
    for path in files(&root(), ".rs") {
        let text = read(&path);
        if !text.starts_with("//!") && !text.starts_with("#!") {
            broken.push(format!("{}: does not start with //!", path.display()));
        }
        let lines = text.lines().count();
        if lines > FILE_LINES_MAX {
            broken.push(format!("{}: {lines} lines, at most {FILE_LINES_MAX}", path.display()));
        }
    }
    report("every source file opens with what it is for, and tells one story", &broken);
}

#[test]
fn nothing_unfinished_and_no_place_of_one_machine_is_left() {
    // Spelled in pieces, so that this file does not find itself.
    let banned = [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("TO", "DO"), concat!("FIX", "ME"), concat!("/work", "/")];
    let mut broken = Vec::new();
    for ending in [".rs", ".proto", ".toml", ".md", ".sh", ".service", ".example"] {
        for path in files(&root(), ending) {
            for (number, line) in read(&path).lines().enumerate() {
                for word in banned {
                    if line.contains(word) {
                        broken.push(format!("{}:{}: {word}", path.display(), number + 1));
                    }
                }
            }
        }
    }
    report("nothing unfinished, no machine path", &broken);
}

#[test]
fn names_that_attract_junk_are_not_used_for_files() {
    const BANNED: &[&str] = &["util", "utils", "common", "manager", "helper", "helpers", "misc", "core_utils"];
    let broken: Vec<String> = files(&root(), ".rs")
        .into_iter()
        .filter(|path| path.file_stem().and_then(|s| s.to_str()).is_some_and(|stem| BANNED.contains(&stem)))
        .map(|path| path.display().to_string())
        .collect();
    report("no junk drawers", &broken);
}

#[test]
fn the_readme_shows_the_worker_that_the_suite_runs() {
    let (readme, example) = (read(&root().join("README.md")), read(&root().join("graft-client/examples/hello_worker.rs")));
    assert!(readme.contains(example.trim_end()), "README.md shows another hello_worker.rs than graft-client/examples has: copy it over");
}
