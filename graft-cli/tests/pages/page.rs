//! A page, and the commands in it.

use std::path::Path;
use std::process::{Command, Stdio};

/// A page of Markdown.
pub(super) struct Page {
    /// The name of its file, without `.md`.
    pub(super) name: String,
    text: String,
}

/// A command, as somebody would paste it: one line, or several that belong together.
#[derive(Debug, PartialEq)]
pub(super) struct Shown {
    /// Below which heading it stands.
    pub(super) heading: String,
    /// What is typed.
    pub(super) text: String,
    /// The exit code that the comment behind it promises.
    pub(super) exits_with: i32,
}

impl Page {
    /// Reads one.
    pub(super) fn read(path: &Path) -> Self {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self { name, text }
    }

    /// The page and the section that it goes on after, as it tells its reader.
    pub(super) fn goes_on_after(&self) -> Option<(String, String)> {
        let text = self.text.replace('\n', " ");
        let (_, link) = text.split_once("commands go on after [")?.1.split_once("](")?;
        let (page, section) = link.split_once(')')?.0.split_once(".md#").expect("a section of a page");
        Some((page.to_owned(), section.to_owned()))
    }

    /// Its commands up to the end of a section, which is named as links name it.
    pub(super) fn commands_up_to(&self, section: &str) -> Vec<Shown> {
        let mut commands = self.commands();
        let is_in = |shown: &Shown| shown.heading.to_lowercase().replace(' ', "-") == section;
        let last = commands.iter().rposition(is_in).unwrap_or_else(|| panic!("{}.md shows no command below {section}", self.name));
        commands.truncate(last + 1);
        commands
    }

    /// Its pieces of configuration.
    pub(super) fn configurations(&self) -> Vec<String> {
        let mut lines = self.text.lines();
        let mut found = Vec::new();
        while lines.any(|line| line == "```toml") {
            found.push(lines.by_ref().take_while(|line| *line != "```").collect::<Vec<_>>().join("\n"));
        }
        found
    }

    /// The commands in its blocks of `sh`, in order.
    pub(super) fn commands(&self) -> Vec<Shown> {
        let (mut commands, mut heading) = (Vec::new(), String::new());
        let mut lines = self.text.lines();
        while let Some(line) = lines.next() {
            if let Some(title) = line.strip_prefix('#') {
                title.trim_start_matches('#').trim().clone_into(&mut heading);
            } else if line == "```sh" {
                let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
                commands.extend(whole(&block).into_iter().map(|text| shown(&heading, text)));
            } else if line.starts_with("```") {
                lines.by_ref().find(|line| *line == "```");
            }
        }
        commands
    }
}

/// Puts lines together until they are something that a shell would run.
fn whole(block: &[&str]) -> Vec<String> {
    let (mut commands, mut begun) = (Vec::new(), String::new());
    for line in block {
        begun += line;
        begun.push('\n');
        if !begun.trim().is_empty() && is_whole(&begun) {
            commands.push(begun.trim().to_owned());
            begun.clear();
        }
    }
    assert!(begun.trim().is_empty(), "a block ends in the middle of a command:\n{begun}");
    commands
}

/// Whether a shell would not wait for more.
fn is_whole(text: &str) -> bool {
    if text.trim_end_matches('\n').ends_with('\\') {
        return false;
    }
    // A shell that only reads takes a document that has no end.
    if let Some((_, after)) = text.split_once("<<") {
        let word: String = after.trim_start_matches(['-', '\'', '"']).chars().take_while(char::is_ascii_alphanumeric).collect();
        if !text.lines().any(|line| line == word) {
            return false;
        }
    }
    let reads = Command::new("sh").args(["-n", "-c", text]).stdin(Stdio::null()).stderr(Stdio::null()).status();
    reads.expect("a shell").success()
}

fn shown(heading: &str, text: String) -> Shown {
    let promised = text.lines().last().and_then(|line| line.split_once("# exits with ")).map(|(_, code)| {
        let digits: String = code.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("an exit code")
    });
    Shown { heading: heading.to_owned(), text, exits_with: promised.unwrap_or(0) }
}

/// That commands are found as they are meant.
pub(super) fn commands_are_found() {
    let text = "# A\n```sh\nx y  # exits with 76: so\n\nfor n in 1 2; do\n  cat > $n <<EOF\n# no\nEOF\ndone\n```\n\
        ```toml\n# no\n```\n## B\n```sh\na \\\n  b\n```\n";
    let page = Page { name: String::new(), text: text.to_owned() };
    let shown = |heading: &str, text: &str, exits_with| Shown { heading: heading.into(), text: text.into(), exits_with };
    let expected = [
        shown("A", "x y  # exits with 76: so", 76),
        shown("A", "for n in 1 2; do\n  cat > $n <<EOF\n# no\nEOF\ndone", 0),
        shown("B", "a \\\n  b", 0),
    ];
    assert_eq!(page.commands(), expected);
    assert_eq!(page.commands_up_to("a"), expected[..2]);
    assert_eq!(page.configurations(), ["# no"]);
    let page = Page { name: String::new(), text: "The\ncommands go on after [B](x.md#b), where".to_owned() };
    assert_eq!(page.goes_on_after(), Some(("x".to_owned(), "b".to_owned())));
}
