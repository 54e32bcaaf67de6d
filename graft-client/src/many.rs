//! Many starts in one call.
//!
//! They go up one stream, as fast as the server takes them, and the answers come down in their order. Each start is a request of its own, with
//! a request id that is made before anything is sent: what was not answered when the stream breaks, and what was refused only for now, is sent
//! again under the same id, over another stream and perhaps to another member, and takes effect once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::stream;
use graft_proto::errors::ErrorCode;
use graft_proto::v1::start_many_response::Result as Answer;
use graft_proto::v1::{Refusal, StartManyResponse, StartRequest};
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::channel::tries::{Next, Tries};
use crate::channel::{Kind, TRY_MAX, TRY_MIN, WAIT_FIRST, WAIT_MOST, after, never_sent, proves_no_effect};
use crate::client::Client;
use crate::error::ClientError;
use crate::limits;
use crate::start::{StartWorkflow, Started, named};

/// Most starts of one call of [`Client::start_many`].
pub const STARTS_PER_CALL_MAX: usize = 100_000;

impl Client {
    /// Starts many workflows. Each has an answer of its own, in the order of the starts: a refusal of one does not stop the others. What a
    /// broken stream left unanswered is sent again with the same request ids, as long as something is answered within the client's request
    /// timeout; what then has no answer yet is answered with the error of the last try.
    ///
    /// # Errors
    /// If there are more than [`STARTS_PER_CALL_MAX`], or if none of them was answered: by no member, or by a server without this call.
    pub async fn start_many<I>(&self, starts: I) -> Result<Vec<Result<Started, ClientError>>, ClientError>
    where
        I: IntoIterator,
        I::Item: Into<StartWorkflow>,
    {
        let mut many = Many::new(self.clone());
        for start in starts {
            if many.places.len() == STARTS_PER_CALL_MAX {
                let message = format!("there are more than {STARTS_PER_CALL_MAX} starts");
                return Err(limits::too_large(Many::OPERATION, "the call", message).remedied("Start the rest with another call."));
            }
            many.add(start.into());
        }
        many.run().await
    }
}

/// One start, until it is answered.
struct Place {
    /// `None`: it was answered here and never sent.
    request: Option<Arc<StartRequest>>,
    operation: String,
    /// It may have taken effect in a try that was not answered.
    doubt: bool,
    answer: Option<Result<Started, ClientError>>,
    /// What the last try of it was refused with.
    refused: Option<ClientError>,
}

struct Many {
    client: Client,
    places: Vec<Place>,
    /// When it is given up, unless something is answered before.
    until: Instant,
    answered: bool,
}

/// How a stream ended.
enum Ended {
    /// All that was sent is answered, if only with a refusal for now.
    Done,
    /// It broke.
    Broken {
        error: ClientError,
        /// Whether what was handed to the connection may have arrived.
        doubt: bool,
    },
}

impl Many {
    const OPERATION: &str = "start many workflows";

    fn new(client: Client) -> Self {
        let until = after(client.request_timeout());
        Self { client, places: Vec::new(), until, answered: false }
    }

    /// A start that cannot be sent is answered at once, in its place.
    fn add(&mut self, start: StartWorkflow) {
        let checked = start.into_request(&self.client).and_then(|request| {
            let operation = format!("start {} in namespace \"{}\"", named(&request.workflow_id), request.namespace);
            limits::check_request(&operation, &request).map(|()| (operation, request))
        });
        self.places.push(match checked {
            Ok((operation, request)) => Place { request: Some(Arc::new(request)), operation, doubt: false, answer: None, refused: None },
            Err(error) => {
                Place { request: None, operation: error.operation().to_owned(), doubt: false, answer: Some(Err(error)), refused: None }
            }
        });
    }

    async fn run(mut self) -> Result<Vec<Result<Started, ClientError>>, ClientError> {
        self.until = after(self.client.request_timeout());
        let mut backoff = Backoff::seeded(WAIT_FIRST, WAIT_MOST);
        // What is in doubt is known of each start; no stream is.
        let mut tries = Tries::new(Self::OPERATION, Kind::Read);
        loop {
            let pending: Vec<usize> = (0..self.places.len()).filter(|at| self.places[*at].answer.is_none()).collect();
            if pending.is_empty() {
                return Ok(self.answers());
            }
            let (url, others) = self.client.connections().preferred();
            let before = self.until;
            let ended = self.over_one_stream(&url, others, &pending).await;
            if self.until != before {
                backoff.reset();
            }
            if self.until != before || matches!(ended, Ended::Done) {
                tries = Tries::new(Self::OPERATION, Kind::Read); // somebody has answered: what was wrong before is not what is wrong now
            }
            let left = || pending.iter().filter(|at| self.places[**at].answer.is_none());
            let (error, hint) = match ended {
                // Another token may have been put in the place of the one that was refused.
                Ended::Broken { error, .. }
                    if error.kind() == Some(ErrorCode::Unauthenticated) && self.client.connections().credentials().look() =>
                {
                    continue;
                }
                Ended::Broken { error, doubt } => {
                    let error = tries.failed(error, !doubt);
                    match tries.next(&url, &error, self.client.connections().addresses()) {
                        Next::End => return self.give_up(&tries.end(error)),
                        Next::AnotherAtOnce => {
                            self.client.connections().move_on(&url, None);
                            continue;
                        }
                        Next::Another => {
                            let hint = error.leader_address().map(str::to_owned);
                            (error, hint)
                        }
                    }
                }
                Ended::Done => {
                    let Some(error) = left().find_map(|at| self.places[*at].refused.clone()) else { continue };
                    let hint = error.leader_address().map(str::to_owned);
                    (error, hint)
                }
            };
            self.client.connections().move_on(&url, hint.as_deref());
            let advice = left().filter_map(|at| self.places[*at].refused.as_ref()?.retry_after()).max();
            let wait = backoff.wait().max(advice.or(error.retry_after()).unwrap_or_default());
            if self.until.saturating_duration_since(Instant::now()) <= wait.saturating_add(TRY_MIN) {
                return self.give_up(&tries.end(error));
            }
            tracing::debug!(%error, wait_ms = wait.as_millis(), left = left().count(), "starting the rest again");
            tokio::time::sleep(wait).await;
        }
    }

    /// Sends what is pending over one stream and takes the answers, in their order.
    async fn over_one_stream(&mut self, url: &str, others: bool, pending: &[usize]) -> Ended {
        let (channel, place) = match self.client.connections().lasting(url) {
            Ok(taken) => taken,
            Err(error) => return Ended::Broken { error, doubt: false },
        };
        let sent = Arc::new(AtomicUsize::new(0));
        let requests: Vec<Arc<StartRequest>> = pending.iter().filter_map(|at| self.places[*at].request.clone()).collect();
        let counted = sent.clone();
        let outgoing = stream::iter(requests.into_iter().map(move |request| {
            counted.fetch_add(1, Ordering::Relaxed);
            Arc::unwrap_or_clone(request)
        }));
        let mut service = self.client.workflow_service(channel);
        let opened = tokio::time::timeout_at(self.patience(others), service.start_many(outgoing)).await;
        let mut answered = 0;
        let ended = match opened {
            Err(_elapsed) => Ended::Broken { error: no_answer(url), doubt: true },
            Ok(Err(status)) => Self::broken(url, &status),
            Ok(Ok(answers)) => {
                let mut answers = answers.into_inner();
                loop {
                    if answered == pending.len() {
                        break Ended::Done;
                    }
                    match tokio::time::timeout_at(self.patience(others), answers.message()).await {
                        Err(_elapsed) => break Ended::Broken { error: no_answer(url), doubt: true },
                        Ok(Err(status)) => break Self::broken(url, &status),
                        Ok(Ok(None)) => {
                            let message = "the server ended the stream before everything was answered";
                            let error = ClientError::new(ErrorCode::Unreachable, Self::OPERATION, format!("server {url}"), message);
                            break Ended::Broken { error, doubt: true };
                        }
                        Ok(Ok(Some(StartManyResponse { index, result: Some(result) }))) if index == answered as u64 => {
                            self.take(pending[answered], result);
                            answered += 1;
                        }
                        Ok(Ok(Some(_))) => {
                            let message = "the server's answers are not in the order of the starts";
                            let error = ClientError::new(ErrorCode::BadAnswer, Self::OPERATION, format!("server {url}"), message);
                            break Ended::Broken { error, doubt: true };
                        }
                    }
                }
            }
        };
        drop(place);
        if let Ended::Broken { doubt: true, .. } = &ended {
            let sent = sent.load(Ordering::Relaxed).clamp(answered, pending.len());
            for at in &pending[answered..sent] {
                self.places[*at].doubt = true;
            }
        }
        ended
    }

    /// Until when the next answer is waited for.
    fn patience(&self, others: bool) -> Instant {
        if others { self.until.min(after(TRY_MAX)) } else { self.until }
    }

    fn broken(url: &str, status: &tonic::Status) -> Ended {
        let error = ClientError::from_status(Self::OPERATION, url, status);
        Ended::Broken { error, doubt: !never_sent(status) }
    }

    /// An answer. One that will stand, good or bad, is progress.
    fn take(&mut self, at: usize, answer: Answer) {
        let place = &mut self.places[at];
        match answer {
            Answer::Started(started) => place.answer = Some(Ok(started.into())),
            Answer::Refused(Refusal { detail, message }) => {
                let error = ClientError::from_refusal(&place.operation, detail.unwrap_or_default(), &message);
                place.doubt |= error.outcome_unknown();
                if error.is_retryable() || error.leader_address().is_some() {
                    place.refused = Some(error);
                    return;
                }
                let doubt = place.doubt && !proves_no_effect(&error);
                place.answer = Some(Err(error.unknown_outcome(doubt)));
            }
        }
        self.answered = true;
        self.until = after(self.client.request_timeout());
    }

    /// What has no answer gets the error of its last try, and what is known of whether it took effect.
    fn give_up(mut self, error: &ClientError) -> Result<Vec<Result<Started, ClientError>>, ClientError> {
        if !self.answered {
            let doubt = self.places.iter().any(|place| place.doubt);
            let refused = self.places.iter().find_map(|place| place.refused.clone());
            return Err(refused.unwrap_or_else(|| error.clone()).unknown_outcome(doubt));
        }
        for place in self.places.iter_mut().filter(|place| place.answer.is_none()) {
            let told = place.refused.take().unwrap_or_else(|| error.clone().of_operation(&place.operation));
            place.answer = Some(Err(told.unknown_outcome(place.doubt)));
        }
        Ok(self.answers())
    }

    fn answers(self) -> Vec<Result<Started, ClientError>> {
        self.places.into_iter().filter_map(|place| place.answer).collect()
    }
}

fn no_answer(url: &str) -> ClientError {
    ClientError::new(ErrorCode::TimedOut, Many::OPERATION, format!("server {url}"), "no answer came in time")
        .remedied("Send those that were not answered again with the same request ids, or give the client a longer request_timeout.")
}
