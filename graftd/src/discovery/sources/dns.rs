//! Candidates behind a name: its addresses are asked for again and again, since pods and machines come back under others.

use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{Provider, Says, Source};

/// After so long without an answer it is said that there is none. It is waited for all the same: the system's resolver has a wait of its own,
/// and one question at a time is enough.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// What the standard library says before the cause.
const LOOKUP_FAILED: &str = "failed to lookup address information: ";

/// Finds the addresses of a name.
pub trait Resolver: Send + Sync + 'static {
    /// All of them, of both families.
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>>;
}

/// As the system does it: its files, its name servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, io::Result<Vec<SocketAddr>>> {
        let host = host.trim_matches(['[', ']']).to_owned();
        async move { Ok(tokio::net::lookup_host((host.as_str(), port)).await?.collect()) }.boxed()
    }
}

/// One name. Every address that it has is a candidate, at one port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dns<R = SystemResolver> {
    host: String,
    port: u16,
    every: Duration,
    resolver: R,
}

impl Dns {
    /// Of this name, asked for again after each `every`.
    pub fn new(host: impl Into<String>, port: u16, every: Duration) -> Self {
        Self::with_resolver(host, port, every, SystemResolver)
    }
}

impl<R: Resolver> Dns<R> {
    /// With a resolver of one's own.
    pub fn with_resolver(host: impl Into<String>, port: u16, every: Duration, resolver: R) -> Self {
        Self { host: host.into(), port, every, resolver }
    }

    async fn ask(&self, says: &Says) {
        loop {
            let mut asked = self.resolver.resolve(&self.host, self.port);
            let answer = match timeout(ANSWER_WITHIN, &mut asked).await {
                Ok(answer) => answer,
                Err(_) => {
                    says.failed(format!("no answer within {ANSWER_WITHIN:?}"));
                    asked.await
                }
            };
            match answer {
                Ok(addresses) if addresses.is_empty() => says.failed("the name has no address".to_owned()),
                Ok(addresses) => {
                    let addresses: BTreeSet<String> = addresses.iter().map(SocketAddr::to_string).collect();
                    says.found(addresses.into_iter().collect());
                }
                Err(error) => {
                    let error = error.to_string();
                    says.failed(error.strip_prefix(LOOKUP_FAILED).unwrap_or(&error).to_owned());
                }
            }
            sleep(self.every).await;
        }
    }
}

impl<R: Resolver> Source for Dns<R> {
    fn provider(&self) -> Provider {
        Provider::Dns
    }
    fn name(&self) -> String {
        format!("dns {}:{}", self.host, self.port)
    }
    fn run(self: Box<Self>, says: Says, stop: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let _: Option<()> = stop.run_until_cancelled(self.ask(&says)).await;
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
    use tokio::sync::{Mutex, oneshot, watch};

    use super::super::says::Report;
    use super::*;
    use crate::observability::metrics::Metrics;

    type Answer = io::Result<Vec<SocketAddr>>;

    /// Hands each question to the test, which answers it when it likes.
    #[derive(Clone)]
    struct Scripted {
        questions: UnboundedSender<oneshot::Sender<Answer>>,
        open: Arc<AtomicUsize>,
    }

    impl Resolver for Scripted {
        fn resolve(&self, host: &str, port: u16) -> BoxFuture<'static, Answer> {
            assert_eq!((host, port), ("graft-headless", 7421));
            assert_eq!(self.open.fetch_add(1, Ordering::Relaxed), 0, "one question at a time");
            let (answer, answered) = oneshot::channel();
            self.questions.send(answer).expect("the test listens");
            let open = self.open.clone();
            async move {
                let answer = answered.await.expect("the test answers");
                open.fetch_sub(1, Ordering::Relaxed);
                answer
            }
            .boxed()
        }
    }

    struct Asked {
        questions: Mutex<UnboundedReceiver<oneshot::Sender<Answer>>>,
        heard: watch::Receiver<Report>,
        metrics: Metrics,
        stop: CancellationToken,
        task: tokio::task::JoinHandle<()>,
    }

    impl Asked {
        fn start() -> Self {
            let (questions, asked) = unbounded_channel();
            let resolver = Scripted { questions, open: Arc::default() };
            let source = Dns::with_resolver("graft-headless", 7421, Duration::from_secs(5), resolver);
            let (metrics, stop) = (Metrics::new(), CancellationToken::new());
            let (says, heard) = Says::of(&source, &metrics);
            let task = tokio::spawn(Box::new(source).run(says, stop.clone()));
            Self { questions: Mutex::new(asked), heard, metrics, stop, task }
        }

        async fn question(&self) -> oneshot::Sender<Answer> {
            self.questions.lock().await.recv().await.expect("it asks")
        }

        /// Answers the next question and waits for what is then said.
        async fn answer(&mut self, answer: Answer) -> Report {
            self.question().await.send(answer).expect("it waits for the answer");
            self.said().await
        }

        async fn said(&mut self) -> Report {
            self.heard.changed().await.expect("it runs");
            self.heard.borrow_and_update().clone()
        }
    }

    fn addresses(texts: &[&str]) -> Answer {
        Ok(texts.iter().map(|text| text.parse().unwrap()).collect())
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_asked_for_again_and_its_addresses_come_and_go() {
        let mut asked = Asked::start();
        let said = asked.answer(addresses(&["10.0.0.2:7421", "10.0.0.1:7421", "10.0.0.2:7421", "[2001:db8::1]:7421"])).await;
        assert_eq!(
            said,
            Report { addresses: vec!["10.0.0.1:7421".into(), "10.0.0.2:7421".into(), "[2001:db8::1]:7421".into()], failure: None }
        );
        // Not before its time: the clock of this test moves only when everybody waits for it.
        let answered = tokio::time::Instant::now();
        let said = asked.answer(addresses(&["10.0.0.3:7421"])).await;
        assert_eq!(said.addresses, ["10.0.0.3:7421"]);
        assert!((5_000..5_010).contains(&answered.elapsed().as_millis()), "asked again after {:?}", answered.elapsed());
        asked.stop.cancel();
        asked.task.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_stays_while_the_name_cannot_be_found_and_each_failure_counts() {
        let mut asked = Asked::start();
        asked.answer(addresses(&["10.0.0.1:7421"])).await;
        let said = asked.answer(Err(io::Error::other(format!("{LOOKUP_FAILED}Name or service not known")))).await;
        assert_eq!(said, Report { addresses: vec!["10.0.0.1:7421".into()], failure: Some("Name or service not known".into()) });
        // The same again is counted, and no news.
        asked.question().await.send(Err(io::Error::other("Name or service not known"))).unwrap();
        let said = asked.answer(addresses(&[])).await;
        assert_eq!(said, Report { addresses: vec!["10.0.0.1:7421".into()], failure: Some("the name has no address".into()) });
        assert_eq!(asked.metrics.cluster.discovery_errors.with_label_values(&["dns"]).get(), 3);
        let said = asked.answer(addresses(&["10.0.0.2:7421"])).await;
        assert_eq!(said, Report { addresses: vec!["10.0.0.2:7421".into()], failure: None });
        assert_eq!(asked.metrics.cluster.discovery_candidates.with_label_values(&["dns"]).get(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_server_that_hangs_is_told_of_and_its_late_answer_counts() {
        let mut asked = Asked::start();
        let late = asked.question().await;
        assert_eq!(asked.said().await.failure.as_deref(), Some("no answer within 5s"));
        late.send(addresses(&["10.0.0.1:7421"])).unwrap();
        assert_eq!(asked.said().await, Report { addresses: vec!["10.0.0.1:7421".into()], failure: None });
    }

    #[tokio::test]
    async fn the_systems_resolver_knows_this_machine_and_that_some_names_are_none() {
        let found = SystemResolver.resolve("localhost", 7421).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback() && address.port() == 7421) && !found.is_empty(), "{found:?}");
        SystemResolver.resolve("no-such-name.invalid", 7421).await.unwrap_err();
        assert_eq!(SystemResolver.resolve("[::1]", 1).await.unwrap(), ["[::1]:1".parse().unwrap()]);
    }
}
