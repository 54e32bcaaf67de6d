//! The client against a real daemon, where a script would only repeat what the client believes: many starts, counts, limits, events.

use futures::stream::StreamExt;
use graft_client::proto::WorkflowStatus;
use graft_client::{Client, EventFilter, LimitOf, ListFilter, StartWorkflow};
use graftd::app::Daemon;
use graftd::config::Config;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_many_starts_bring_is_counted_found_and_told_as_events() {
    let directory = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(Config::in_process(directory.path())).await.unwrap();
    daemon.ready().await.unwrap();
    let client = Client::connect(format!("http://{}", daemon.client_address())).unwrap();
    let mut events = client.events(EventFilter::new().event_type("started"));
    let position = events.next().await.unwrap().unwrap().position;

    let start = |n: usize| StartWorkflow::new(format!("order-{n}")).node_named("charge", ()).label("till", (n % 2).to_string());
    let answers = client.start_many((0..1_000).map(start).chain([start(0).label("more", "so")])).await.unwrap();
    assert!(answers[..1_000].iter().enumerate().all(|(n, answer)| answer.as_ref().unwrap().workflow_id == format!("order-{n}")));
    assert!(answers[1_000].as_ref().unwrap_err().is_already_exists());

    let counts = client.counts().await.unwrap();
    assert!(counts.contains(&(WorkflowStatus::Running, 1_000)) && counts.contains(&(WorkflowStatus::Failed, 0)), "{counts:?}");
    let page = client.list(ListFilter::new().id_prefix("order-99").limit(100)).await.unwrap();
    assert_eq!(page.workflows.len(), 11);

    // Told as they come, and once more from a position that was kept.
    for mut events in [events, client.events(EventFilter::new().event_type("started").after(position))] {
        let mut told = 0;
        while told < 1_000 {
            told += events.next().await.unwrap().unwrap().events.len();
        }
        assert_eq!(told, 1_000);
    }

    let set = client.set_limit("charge", 3).await.unwrap();
    assert_eq!((set.before, set.now.unwrap().max), (None, 3));
    client.set_limit(LimitOf::Cluster, 50).await.unwrap();
    let limits = client.limits().await.unwrap();
    let rows: Vec<_> = limits.limits.iter().map(|limit| (limit.node.as_str(), limit.max)).collect();
    assert!(limits.live && rows == [("", 50), ("charge", 3)], "{limits:?}");
    assert_eq!(client.unset_limit("charge").await.unwrap().before.unwrap().max, 3);
    daemon.shutdown().await;
}
