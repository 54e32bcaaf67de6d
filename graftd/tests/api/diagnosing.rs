//! What a member says of itself, where the log is not its own.

use graft_proto::v1;
use tonic::Code;

use crate::member::Member;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_inside_another_program_says_how_it_is_and_leaves_the_log_alone() {
    let member = Member::start().await;
    let mut cluster = member.cluster().await;
    let said = cluster.diagnose(v1::DiagnoseRequest {}).await.expect("an answer").into_inner();
    assert_eq!((said.member.as_str(), said.version.as_str(), said.configuration.as_str()), ("m1", "1.2.3", "[node]\nname = \"m1\"\n"));
    assert!(said.readiness.ends_with("[+]ready\n") && said.readiness.contains("[+]log last "), "{}", said.readiness);
    assert!(said.metrics.contains("\ngraft_commands_total{"), "{}", said.metrics);
    assert_eq!((said.log_level.as_str(), said.log_lines.len()), ("", 0));

    let level = cluster.log_level(v1::LogLevelRequest { level: None }).await.expect("nothing is changed").into_inner();
    assert_eq!(level, v1::LogLevelResponse { member: "m1".into(), ..Default::default() });
    for asked in ["debug", ""] {
        let refused = cluster.log_level(v1::LogLevelRequest { level: Some(asked.into()) }).await.expect_err("it is not its own");
        assert_eq!(refused.code(), Code::InvalidArgument);
        assert!(refused.message().contains("the log is that of the program in which this member runs"), "{}", refused.message());
    }
    member.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_profiled_for_a_bounded_time_and_by_one_at_a_time() {
    let member = Member::start().await;
    let mut cluster = member.cluster().await;
    let refused = cluster.profile(v1::ProfileRequest { duration_ms: 60_001 }).await.expect_err("too long");
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().contains("at most 60000 are allowed"), "{}", refused.message());
    // Whoever has the turn, the other is told so.
    let mut other = member.cluster().await;
    let (first, second) =
        tokio::join!(cluster.profile(v1::ProfileRequest { duration_ms: 2_000 }), other.profile(v1::ProfileRequest { duration_ms: 2_000 }));
    let (made, refused) = if first.is_ok() { (first, second) } else { (second, first) };
    let made = made.expect("one of them").into_inner();
    assert!(made.member == "m1" && !made.profile.is_empty());
    let refused = refused.expect_err("one at a time");
    assert!(refused.code() == Code::ResourceExhausted && refused.message().contains("is being profiled already"), "{refused:?}");
    // Over REST it is a file.
    let answer = member.open_http("GET", "/api/v1/cluster/profile?seconds=1", &[], b"").await;
    assert_eq!(answer.status, 200);
    assert!(answer.head.contains("application/octet-stream") && answer.head.contains("graft.pprof"), "{}", answer.head);
    member.fetch("/api/v1/cluster/profile?seconds=61").await.problem(400, "GR0001");
    member.stop().await;
}
