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
