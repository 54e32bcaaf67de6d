//! The bugs of `tests/planted` keep applying: a patch that no longer fits finds nothing, and nobody would notice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// How many there are at least.
const LEAST: usize = 14;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests package stands below the root").to_owned()
}

/// What each hunk of a unified diff takes out of a file and puts into it: file, before, after.
fn hunks(patch: &str) -> Vec<(String, String, String)> {
    let mut hunks: Vec<(String, String, String)> = Vec::new();
    let mut file = String::new();
    let mut inside = false;
    for line in patch.lines() {
        if let Some(name) = line.strip_prefix("+++ b/") {
            (file, inside) = (name.to_owned(), false);
        } else if line.starts_with("--- ") || line.starts_with("diff ") || line.starts_with("index ") {
            inside = false;
        } else if line.starts_with("@@") {
            hunks.push((file.clone(), String::new(), String::new()));
            inside = true;
        } else if let Some((_, before, after)) = hunks.last_mut().filter(|_| inside) {
            let (sign, text) = line.split_at(line.len().min(1));
            let add = |to: &mut String| to.extend([text, "\n"]);
            match sign {
                "-" => add(before),
                "+" => add(after),
                _ => {
                    add(before);
                    add(after);
                }
            }
        }
    }
    hunks
}

#[test]
fn every_planted_bug_still_applies_and_says_what_it_is() {
    let folder = root().join("tests/planted");
    let mut wrong = Vec::new();
    let mut count = 0;
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    for path in entries.map(|entry| entry.expect("a readable folder").path()).filter(|path| path.extension().is_some_and(|e| e == "patch"))
    {
        count += 1;
        let name = path.display();
        let patch = fs::read_to_string(&path).expect("a patch is text");
        for field in ["Bug: ", "List: ", "Seeds: "] {
            if !patch.lines().any(|line| line.starts_with(field)) {
                wrong.push(format!("{name} does not say {field:?}"));
            }
        }
        let hunks = hunks(&patch);
        if hunks.is_empty() {
            wrong.push(format!("{name} changes nothing"));
        }
        let mut texts: BTreeMap<String, String> = BTreeMap::new();
        for (file, before, after) in hunks {
            let text = texts.entry(file.clone()).or_insert_with(|| fs::read_to_string(root().join(&file)).unwrap_or_default());
            match text.matches(&before).count() {
                1 => *text = text.replacen(&before, &after, 1),
                found => wrong.push(format!("{name}: {file} holds {found} times what one hunk replaces:\n{before}")),
            }
        }
    }
    assert!(wrong.is_empty(), "write them anew:\n{}", wrong.join("\n"));
    assert!(count >= LEAST, "{count} bugs are planted, at least {LEAST} are asked for");
}
