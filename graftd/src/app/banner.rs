//! The first lines, printed before anything is opened.

use crate::api::Urls;
use crate::built;
use crate::config::Config;
use crate::discovery::formation_rules::{Bootstrap, Me};
use crate::discovery::records::Marker;

/// Most lines.
#[cfg(test)]
const LINES_MAX: usize = 8;

pub(super) fn banner(me: &Me, config: &Config, marker: Option<&Marker>) -> String {
    let secure = config.client.cert.is_some();
    let url = Urls { is_secure: secure }.of(&me.candidate.client_address);
    let data = config.node.data_dir.display();
    let mut lines = vec![
        ("graftd", built::VERSION.to_owned()),
        ("member", me.candidate.name.clone()),
        ("clients", format!("{url}  (gRPC, /api/v1, /readyz, /metrics)")),
        ("data", data.to_string()),
    ];
    if !me.candidate.peer_address.is_empty() {
        lines.push(("members", me.candidate.peer_address.clone()));
    }
    let cluster = match (marker, me.bootstrap) {
        (Some(marker), _) => format!("{} ({})", marker.cluster_name, marker.cluster_id),
        (None, Bootstrap::Manual) => format!("{} (new, waits for `graft cluster bootstrap`, or joins)", me.cluster_name),
        (None, Bootstrap::Expect(1)) => format!("{} (new, a single member)", me.cluster_name),
        (None, Bootstrap::Expect(expect)) => format!("{} (new, forms when all {expect} members are there)", me.cluster_name),
    };
    lines.push(("cluster", cluster));
    if config.security.insecure {
        lines.push(("insecure", "no TLS, no authentication: whoever reaches the port may do anything".to_owned()));
    }
    let usual = config.client.listen == Config::default().client.listen && !secure;
    let server = if usual { String::new() } else { format!(" --addr {url}") };
    lines.push(("try", format!("graft{server} workflow list")));
    lines.iter().map(|(label, value)| format!("{label:<9} {value}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::discovery::records::Candidate;

    #[test]
    fn the_first_lines_are_at_most_eight_and_end_with_a_command_to_paste() {
        let candidate =
            Candidate { name: "a".into(), raft_id: 1, peer_address: "127.0.0.1:7421".into(), client_address: "127.0.0.1:9000".into() };
        let me = Me { candidate, cluster_name: "graft".into(), bootstrap: Bootstrap::Expect(3) };
        let mut config = Config::default();
        config.security.insecure = true;
        config.client.listen = "127.0.0.1:9000".parse().unwrap();
        let text = banner(&me, &config, None);
        assert!(text.lines().count() <= LINES_MAX, "{text}");
        assert_eq!(text.lines().last().unwrap(), "try       graft --addr http://127.0.0.1:9000 workflow list");
        assert!(text.lines().all(|line| line.as_bytes()[9] == b' ' && line.as_bytes()[10] != b' '), "aligned:\n{text}");
    }

    #[test]
    fn on_the_usual_port_the_command_needs_no_address() {
        let candidate = Candidate { name: "a".into(), raft_id: 1, peer_address: String::new(), client_address: "127.0.0.1:7420".into() };
        let me = Me { candidate, cluster_name: "graft".into(), bootstrap: Bootstrap::Expect(1) };
        assert!(banner(&me, &Config::default(), None).ends_with("try       graft workflow list\n"));
    }
}
