//! `graft explain`: the catalogue of errors, offline.

use graft_client::ErrorCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::cli::local::Explain;
use crate::error::{CliError, CliResult, exits};
use crate::output::json::Document;
use crate::output::style::{Line, Tone};
use crate::output::table::{column, table, wide};
use crate::output::{Answer, Output, View, compact};

/// Most codes that are offered in place of one that is none.
const OFFERED_MAX: usize = 3;
/// From here on codes are made in the caller's process: they never travel.
const OWN_FROM: &str = "GR9000";

/// Shows the page of a code, or all codes.
pub(crate) fn run(output: Output, args: &Explain) -> CliResult {
    let Some(text) = &args.code else { return output.show(&Catalogue) };
    match text.to_ascii_uppercase().parse() {
        Ok(code) => output.show(&Page(code)),
        Err(_) => Err(CliError::NotFound(unknown(text))),
    }
}

/// What is said about a text that is no code: those that may have been meant, or where all are.
fn unknown(text: &str) -> String {
    let offered: Vec<String> = meant(text).into_iter().map(|code| format!("{code} ({})", code.title())).collect();
    let meant = if offered.is_empty() { String::new() } else { format!(" Did you mean {}?", offered.join(", or ")) };
    format!("{text:?} is no code of an error of this version.{meant}\n  See them all with `graft explain`.")
}

/// Codes that somebody may have meant: whose title speaks of it, or which look much like it.
fn meant(text: &str) -> Vec<ErrorCode> {
    let words = text.to_lowercase();
    let speaks = |code: &ErrorCode| words.len() > 2 && code.title().to_lowercase().contains(&words);
    let spoken: Vec<ErrorCode> = ErrorCode::ALL.iter().copied().filter(speaks).take(OFFERED_MAX).collect();
    if !spoken.is_empty() {
        return spoken;
    }
    let digits = words.strip_prefix("gr").unwrap_or(&words);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let name = format!("GR{digits:0>4}");
    let shuffled = |code: &ErrorCode| figures(code.name()) == figures(digits);
    let slipped = |code: &ErrorCode| strsim::osa_distance(code.name(), &name) == 1;
    let of =
        |test: &dyn Fn(&ErrorCode) -> bool| -> Vec<ErrorCode> { ErrorCode::ALL.iter().copied().filter(test).take(OFFERED_MAX).collect() };
    let shuffled = of(&shuffled);
    if shuffled.is_empty() { of(&slipped) } else { shuffled }
}

/// The digits of a code that are not zero, whatever their order: zeros are what people lose count of.
fn figures(code: &str) -> Vec<u8> {
    let mut figures: Vec<u8> = code.bytes().filter(|byte| (b'1'..=b'9').contains(byte)).collect();
    figures.sort_unstable();
    figures
}

/// The page of a code.
struct Page(ErrorCode);

/// All codes.
struct Catalogue;

#[derive(Serialize, JsonSchema)]
pub(crate) struct EntryJson {
    code: &'static str,
    title: &'static str,
    /// `null` for what is made in the caller's process.
    grpc: Option<&'static str>,
    /// The same over REST.
    http: Option<u16>,
    retryable: bool,
    outcome_unknown: bool,
    /// With which `graft` ends.
    exit_codes: &'static [u8],
    remedy: &'static str,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct PageJson {
    #[serde(flatten)]
    entry: EntryJson,
    /// In Markdown.
    page: &'static str,
}

#[derive(Serialize, JsonSchema)]
pub(crate) struct CatalogueJson {
    errors: Vec<EntryJson>,
}

impl Document for PageJson {
    const KIND: &'static str = "ErrorPage";
}

impl Document for EntryJson {
    const KIND: &'static str = "ErrorEntry";
}

impl Document for CatalogueJson {
    const KIND: &'static str = "ErrorList";
}

impl From<ErrorCode> for EntryJson {
    fn from(code: ErrorCode) -> Self {
        let travels = code.name() < OWN_FROM;
        Self {
            code: code.name(),
            title: code.title(),
            grpc: travels.then(|| code.grpc_name()),
            http: travels.then(|| code.http()),
            retryable: code.retryable(),
            outcome_unknown: code.outcome_unknown(),
            exit_codes: exits(code),
            remedy: code.remedy(),
        }
    }
}

impl Answer for Page {
    type Document = PageJson;

    fn document(&self) -> PageJson {
        PageJson { entry: self.0.into(), page: self.0.page() }
    }

    fn names(&self) -> Vec<String> {
        vec![self.0.to_string()]
    }

    fn people(&self, _: View) -> Vec<Line> {
        let (mut lines, mut quoting) = (Vec::new(), false);
        for line in self.0.page().lines() {
            lines.push(match line.strip_prefix('#') {
                Some(heading) => Line::of(Tone::Strong, heading.trim_start_matches(['#', ' '])),
                None => marked(line, &mut quoting),
            });
            if lines.len() == 1 {
                lines.push(Line::of(Tone::Dim, in_short(&self.0.into())));
            }
        }
        lines
    }
}

/// What is fixed about a code, in one line.
fn in_short(entry: &EntryJson) -> String {
    let exits: Vec<String> = entry.exit_codes.iter().map(ToString::to_string).collect();
    let mut facts = Vec::new();
    facts.extend(entry.grpc.map(|grpc| format!("gRPC {grpc}")));
    facts.extend(entry.http.map(|http| format!("HTTP {http}")));
    facts.push(format!("exit code {}", exits.join(", ")));
    facts.push(if entry.retryable { "retryable" } else { "not retryable" }.to_owned());
    facts.push(if entry.outcome_unknown { "outcome unknown" } else { "outcome known" }.to_owned());
    facts.join(" · ")
}

/// A line of a page: what stands between backticks is set off, also where it goes on in the next line.
fn marked(text: &str, quoting: &mut bool) -> Line {
    let mut line = Line::default();
    for (at, part) in text.split('`').enumerate() {
        if at > 0 {
            *quoting = !*quoting;
            line = line.add(Tone::Plain, "`");
        }
        line = line.add(if *quoting { Tone::Busy } else { Tone::Plain }, part);
    }
    line
}

impl Answer for Catalogue {
    type Document = CatalogueJson;

    fn document(&self) -> CatalogueJson {
        CatalogueJson { errors: ErrorCode::ALL.iter().map(|code| EntryJson::from(*code)).collect() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        ErrorCode::ALL.iter().map(|code| compact(&EntryJson::from(*code))).collect()
    }

    fn names(&self) -> Vec<String> {
        ErrorCode::ALL.iter().map(ToString::to_string).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |code: &ErrorCode| {
            let entry = EntryJson::from(*code);
            let again = if entry.retryable { "try again" } else { "-" };
            let effect = if entry.outcome_unknown { "unknown" } else { "known" };
            let grpc = entry.grpc.unwrap_or("-");
            let http = entry.http.map_or_else(|| "-".to_owned(), |http| http.to_string());
            vec![entry.code.to_owned(), again.to_owned(), effect.to_owned(), grpc.to_owned(), http, entry.title.to_owned()]
        };
        let columns = [column("CODE"), column("RETRY"), column("OUTCOME"), wide("GRPC"), wide("HTTP"), column("WHAT")];
        table(view, &columns, ErrorCode::ALL.iter().map(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(text: &str) -> Vec<&'static str> {
        meant(text).into_iter().map(ErrorCode::name).collect()
    }

    #[test]
    fn somebody_who_remembers_a_word_is_told_the_code() {
        assert_eq!(offered("leader"), ["GR0010"]);
        assert_eq!(offered("No Such Task"), ["GR0021"]);
    }

    #[test]
    fn a_code_that_is_none_brings_those_that_look_like_it() {
        assert_eq!(offered("GR0300"), ["GR0003", "GR0030"]);
        assert_eq!(offered("GR00003"), ["GR0003", "GR0030"]);
        assert_eq!(offered("GR1900"), ["GR0019", "GR9001", "GR9010"]);
        assert_eq!(offered("gr0038"), ["GR0008", "GR0018", "GR0028"]);
        for text in ["", "xyzzy", "workflow list", "a"] {
            assert_eq!(offered(text), [""; 0], "{text}");
            assert!(unknown(text).ends_with("no code of an error of this version.\n  See them all with `graft explain`."));
        }
    }

    #[test]
    fn a_page_for_people_loses_no_word_of_it() {
        for code in ErrorCode::ALL {
            let shown: Vec<String> = Page(*code).people(View::plain(0)).iter().map(|line| line.render(false)).collect();
            let lines: Vec<&str> = code.page().lines().map(|line| line.trim_start_matches(['#', ' '])).collect();
            let kept = shown.iter().enumerate().filter(|(at, _)| *at != 1).map(|(_, line)| line.trim_start());
            assert!(kept.eq(lines.iter().copied()), "{code}: {shown:#?}");
            assert!(shown[1].contains("exit code"), "{code}: {}", shown[1]);
        }
    }
}
