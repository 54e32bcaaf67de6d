//! What needs no server.

use crate::here::graft;

#[tokio::test]
async fn every_shell_gets_completions_of_every_verb() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ran = graft(&["completions", shell]).await;
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{shell}");
        for word in ["workflow", "history", "context", "namespace"] {
            assert!(ran.stdout.contains(word), "{shell} does not know {word}");
        }
    }
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
    for verb in ["", "-workflow-start", "-workflow-graph", "-context-test", "-bench"] {
        let page = std::fs::read_to_string(into.join(format!("graft{verb}.1"))).unwrap_or_else(|error| panic!("graft{verb}.1: {error}"));
        assert!(page.contains(".SH NAME") && page.contains("Example"), "{verb}: {page}");
    }
    let refused = graft(&["man", "/proc/nowhere"]).await;
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("/proc/nowhere"), "{}", refused.stderr);
}
