//! Asks every member the same, each at its own address and for itself.

use std::time::Duration;

use futures::future::join_all;
use graft_client::proto::{ClusterStatusResponse, Member};
use graft_client::{Client, ClientError};
use tokio::time::timeout;

/// How long each member has to answer.
const ANSWER_MAX: Duration = Duration::from_secs(3);

/// A member, and what it answered or why it did not.
pub(crate) struct Asked<T> {
    /// The member, as whoever was asked first knows it.
    pub(crate) member: Member,
    /// Its answer.
    pub(crate) answer: Result<T, String>,
}

/// Asks all members that say where they answer. Before a cluster is formed there are none: then the one that can be reached answers alone.
pub(crate) async fn each<T>(
    client: &Client,
    seen: &ClusterStatusResponse,
    patience: Duration,
    question: impl AsyncFn(Client) -> Result<T, ClientError>,
) -> Vec<Asked<T>> {
    let question = &question;
    let asked = async |member: Member, client: Result<Client, ClientError>| {
        let time = patience.min(ANSWER_MAX);
        let answer = match client {
            Err(error) => Err(error.to_string()),
            Ok(client) => match timeout(time, question(client)).await {
                Ok(answer) => answer.map_err(|error| error.message().to_owned()),
                Err(_) => Err(format!("no answer within {} ms", time.as_millis())),
            },
        };
        Asked { member, answer }
    };
    if seen.members.is_empty() {
        let alone = Member { raft_id: seen.answered_by, name: "member".to_owned(), ..Member::default() };
        return vec![asked(alone, Ok(client.clone())).await];
    }
    let members = seen.members.iter().filter(|member| !member.client_address.is_empty());
    join_all(members.map(|member| asked(member.clone(), client.at(&member.client_address)))).await
}
