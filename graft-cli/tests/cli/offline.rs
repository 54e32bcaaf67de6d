//! What needs no server.

use serde_json::Value;

use crate::here::graft;

#[tokio::test]
async fn every_shell_gets_completions_of_every_verb() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = graft(&["completions", shell]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
        for word in ["workflow", "dead-letter", "redrive", "context", "namespace"] {
            assert!(ran.stdout.contains(word), "{shell} does not know {word}");
        }
    }
    let daemon = graft(&["completions", "bash", "--of", "graftd"]).await;
    assert!(daemon.stdout.contains("complete -F _graftd") && daemon.stdout.contains("--data-dir"), "{}", daemon.stdout);
    let ran = graft(&["completions", "zsch"]).await;
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("'zsh'"), "{}", ran.stderr);
}

#[tokio::test]
async fn the_completions_of_bash_are_a_script_that_bash_takes() {
    let ran = graft(&["completions", "bash"]).await;
    let script = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(script.path(), ran.stdout).unwrap();
    let checked = std::process::Command::new("bash").arg("-n").arg(script.path()).output().unwrap();
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
}

#[tokio::test]
async fn every_verb_gets_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    let into = dir.path().join("deep/man1");
    let ran = graft(&["man", into.to_str().unwrap()]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{}", ran.stderr);
    assert!(into.join("graft-workflow.1").exists(), "nouns have one as well");
    for verb in ["", "-workflow-start", "-workflow-graph", "-dead-letter-redrive", "-limit-set", "-context-test", "-bench"] {
        let page = std::fs::read_to_string(into.join(format!("graft{verb}.1"))).unwrap_or_else(|error| panic!("graft{verb}.1: {error}"));
        assert!(page.contains(".SH NAME") && page.contains("Example"), "{verb}: {page}");
    }
    for page in ["graftd", "graftd-config-check", "graftd-recover"] {
        let page = std::fs::read_to_string(into.join(format!("{page}.1"))).unwrap_or_else(|error| panic!("{page}.1: {error}"));
        assert!(page.contains(".SH NAME") && page.contains("graftd"), "{page}");
    }
    let refused = graft(&["man", "/proc/nowhere"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("/proc/nowhere"), "{}", refused.stderr);
}

#[tokio::test]
async fn an_error_is_explained_without_a_server() {
    let list = graft(&["explain"]).await;
    assert_eq!((list.code, list.stderr.as_str()), (0, ""));
    let codes = graft(&["explain", "-o", "name"]).await.stdout;
    assert!(codes.lines().count() > 40, "{codes}");
    for code in codes.lines() {
        let page = graft(&["explain", code]).await;
        assert_eq!((page.code, page.stderr.as_str()), (0, ""), "{code}");
        assert!(page.stdout.starts_with(code) && page.stdout.contains("What to do"), "{code}: {}", page.stdout);
        assert!(list.stdout.contains(code), "{code} is not in the list");
    }
    let long = graft(&["explain", "GR0003"]).await.stdout;
    for short in ["gr0003", "gr3", "Gr3", "3"] {
        assert_eq!(graft(&["explain", short]).await.stdout, long, "{short}");
    }
}

#[tokio::test]
async fn the_headings_of_a_page_stand_out_where_there_are_colours() {
    let plain = graft(&["explain", "GR0003"]).await.stdout;
    assert!(!plain.contains('\u{1b}'), "{plain}");
    let coloured = graft(&["explain", "GR0003", "--color", "always"]).await.stdout;
    assert!(coloured.starts_with("\u{1b}[1mGR0003: ") && coloured.contains("\u{1b}[1mWhat to do"), "{coloured:?}");
}

#[tokio::test]
async fn programs_get_the_catalogue_too() {
    let page: Value = serde_json::from_str(&graft(&["explain", "3", "-o", "json"]).await.stdout).unwrap();
    assert_eq!((&page["kind"], &page["code"], &page["http"]), (&"ErrorPage".into(), &"GR0003".into(), &404.into()));
    assert!(page["page"].as_str().unwrap().starts_with("# GR0003: ") && page["exit_codes"] == serde_json::json!([3]), "{page}");
    let list: Value = serde_json::from_str(&graft(&["explain", "-o", "json"]).await.stdout).unwrap();
    assert_eq!(list["kind"], "ErrorList");
    let lines = graft(&["explain", "-o", "jsonl"]).await.stdout;
    assert_eq!(lines.lines().count(), list["errors"].as_array().unwrap().len());
}

#[tokio::test]
async fn a_code_that_is_none_is_not_found_and_brings_those_that_may_be_meant() {
    for (text, meant) in [("GR0300", "GR0003"), ("leader", "GR0010 (")] {
        let unknown = graft(&["explain", text]).await;
        assert_eq!((unknown.code, unknown.stdout.as_str()), (3, ""), "{text}");
        assert!(unknown.stderr.contains(meant) && unknown.stderr.contains("`graft explain`"), "{}", unknown.stderr);
    }
}

#[tokio::test]
async fn a_mistake_in_the_command_line_is_a_document_where_programs_read() {
    for words in [&["workflow", "strat", "-o", "json"][..], &["-ojsonl", "workflow", "strat"], &["--output=yaml", "workflow", "strat"]] {
        let ran = graft(words).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{words:?}");
        let error: Value = serde_json::from_str(&ran.stderr).unwrap_or_else(|error| panic!("{words:?}: {error}: {}", ran.stderr));
        assert_eq!((&error["kind"], &error["code"], &error["exit_code"]), (&"Error".into(), &"GR9101".into(), &2.into()));
        assert!(error["message"].as_str().unwrap().contains("'strat'") && error["remedy"].as_str().unwrap().contains("'start'"), "{error}");
    }
    let help = graft(&["workflow", "--help", "-o", "json"]).await;
    assert_eq!((help.code, help.stderr.as_str()), (0, ""));
}
