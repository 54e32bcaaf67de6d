//! The torture, small: a real cluster is killed, paused and handed over under load, and the judge finds nothing. What the judge finds where there
//! is something to find is shown beside it, in `graft_tests::torture`.

use std::process::Command;

use graft_tests::{binary, figure};
use serde_json::Value;

fn torture(arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(binary("torture")).args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_cluster_that_is_killed_paused_and_handed_over_under_load_loses_nothing() {
    let arguments = ["--minutes", "0.25", "--seed", "7", "--rate", "15", "--workers", "2", "--faults", "kill,pause,transfer", "-o", "json"];
    let (code, said, errors) = torture(&arguments);
    assert_eq!(code, Some(0), "{said}\n{errors}");
    let report: Value = serde_json::from_str(&said).expect("JSON");
    let number = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key}: {report}"));
    for key in ["lost", "duplicated", "stuck", "violations"] {
        assert_eq!(number(key), 0, "{key}: {report}");
    }
    assert!(number("acknowledged") > 50 && number("completed") + number("cancelled") >= number("acknowledged"), "{report}");
    for kind in ["kill", "pause", "transfer"] {
        assert!(report["faults"][kind].as_u64().is_some_and(|count| count > 0), "{kind}: {report}");
    }
    assert!(report["linearizability"]["operations"].as_u64().is_some_and(|operations| operations > 100), "{report}");
    assert_eq!(number("seed"), 7);
    figure(format_args!(
        "{} workflows, faults {}, longest stall {} ms",
        number("acknowledged"),
        report["faults"],
        number("longest_stall_ms")
    ));
}

#[test]
fn what_was_acknowledged_on_disks_that_lie_is_found_to_be_lost_when_the_power_goes() {
    let dir = tempfile::tempdir().expect("a folder");
    let place = dir.path().join("torture");
    let place = place.to_str().expect("utf-8");
    // The first cut of this seed takes the power of all.
    let arguments = ["--power-cuts", "1", "--seed", "5", "--rate", "15", "--workers", "1", "--planted", "lying-disk", "--dir", place];
    let (code, said, errors) = torture(&[&arguments[..], &["-o", "json"]].concat());
    assert_eq!(code, Some(1), "{said}\n{errors}");
    let report: Value = serde_json::from_str(&said).expect("JSON");
    assert!(report["faults"]["power-all"] == 1 && report["lost"].as_u64().is_some_and(|lost| lost > 0), "{report}");
    let command = "run it again: cargo run --release -p graft-tests --bin torture -- --members 3 --power-cuts 1 --seed 5";
    assert!(errors.contains("WRONG lost: load-") && errors.contains(command) && errors.contains(place), "{errors}");
}

#[test]
fn a_wrong_command_line_is_refused_and_the_help_says_what_there_is() {
    let (code, _, errors) = torture(&["--faults", "flood"]);
    assert!(code == Some(2) && errors.contains("--faults flood: there are kill"), "{errors}");
    let (code, said, _) = torture(&["-h"]);
    assert!(code == Some(0) && said.contains("--power-cuts N") && said.contains("nftables"), "{said}");
}
