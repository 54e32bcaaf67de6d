//! Whether a StatefulSet of Kubernetes still wants the pod that this member is.
//!
//! A StatefulSet that is made smaller stops the pods with the highest numbers, and a pod that is stopped is not told why: for a restart, because
//! its machine is emptied, or for good. So a member that is told to end asks. Only one answer makes it leave its cluster: the StatefulSet is
//! there, is to stay, is to have pods, and this one is none of them. Whoever cannot ask stays a member.
//!
//! The service account needs `get` of that one object in `statefulsets` (`apps`), and nothing else.

use std::time::Duration;

use kube::api::ApiResource;
use serde_json::Value;
use tokio::time::sleep;

use super::service_account::ServiceAccount;

/// How often it is asked before it is given up.
const ATTEMPTS: u32 = 3;
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(500);

/// A pod of a StatefulSet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatefulSetPod {
    /// Name of the StatefulSet.
    pub stateful_set: String,
    /// The pod's number.
    pub ordinal: u64,
    /// Whom to ask, and as whom.
    pub account: ServiceAccount,
}

impl StatefulSetPod {
    /// Asks whether the pod is to go for good: how many pods the StatefulSet is to have instead, or `None` if it is to come back.
    ///
    /// # Errors
    /// Why nobody could say, after a few attempts.
    pub async fn surplus(&self) -> Result<Option<u64>, String> {
        let mut attempt = 1;
        loop {
            let failed = match self.account.get(&kind(), &self.stateful_set).await {
                Ok(found) => return Ok(found.and_then(|found| surplus_of(&found, self.ordinal))),
                Err(why) => why,
            };
            if attempt == ATTEMPTS {
                return Err(failed);
            }
            attempt += 1;
            sleep(PAUSE).await;
        }
    }
}

fn kind() -> ApiResource {
    ApiResource {
        group: "apps".to_owned(),
        version: "v1".to_owned(),
        api_version: "apps/v1".to_owned(),
        kind: "StatefulSet".to_owned(),
        plural: "statefulsets".to_owned(),
    }
}

/// How many pods this StatefulSet is to have, if the one with that number is none of them. One that is to have no pods at all rests, and one that is
/// being deleted takes nobody's membership along: its data stay.
pub fn surplus_of(stateful_set: &Value, ordinal: u64) -> Option<u64> {
    let deleted = stateful_set.pointer("/metadata/deletionTimestamp").is_some_and(Value::is_string);
    let replicas = stateful_set.pointer("/spec/replicas").and_then(Value::as_u64)?;
    let first = stateful_set.pointer("/spec/ordinals/start").and_then(Value::as_u64).unwrap_or(0);
    let wanted = (first..first.saturating_add(replicas)).contains(&ordinal);
    (!deleted && replicas > 0 && !wanted).then_some(replicas)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::api_server::{account, server, status};
    use super::*;

    #[test]
    fn only_a_stateful_set_that_stays_and_has_other_pods_sends_one_away() {
        let of = |replicas: u64| json!({"metadata": {"name": "graft"}, "spec": {"replicas": replicas}});
        assert_eq!(surplus_of(&of(3), 3), Some(3));
        assert_eq!(surplus_of(&of(3), 2), None, "it is wanted");
        assert_eq!(surplus_of(&of(0), 0), None, "all rest");
        let deleted = json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"replicas": 1}});
        assert_eq!(surplus_of(&deleted, 2), None, "all go, and their data stay");
        let from_five = json!({"spec": {"replicas": 3, "ordinals": {"start": 5}}});
        assert_eq!((surplus_of(&from_five, 7), surplus_of(&from_five, 8), surplus_of(&from_five, 0)), (None, Some(3), Some(3)));
        assert_eq!(surplus_of(&json!({"spec": {}}), 2), None, "it says nothing");
    }

    async fn answered(answers: Vec<(u16, Value)>) -> (Result<Option<u64>, String>, Vec<String>) {
        let (url, serving) = server(answers).await;
        let (_folder, account) = account(&url);
        let said = StatefulSetPod { stateful_set: "graft".into(), ordinal: 3, account }.surplus().await;
        (said, serving.await.unwrap())
    }

    #[tokio::test]
    async fn the_stateful_set_is_asked_as_the_account_and_what_it_says_counts() {
        let found = (200, json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "graft"}, "spec": {"replicas": 3}}));
        let (said, asked) = answered(vec![status(500, "not now"), found]).await;
        assert_eq!(said, Ok(Some(3)), "a failure is asked again");
        let path = "GET /apis/apps/v1/namespaces/ns/statefulsets/graft";
        assert!(asked.len() == 2 && asked.iter().all(|asked| asked.starts_with(path) && asked.ends_with(" as secret")), "{asked:?}");
        assert_eq!(answered(vec![status(404, "not found")]).await.0, Ok(None), "the release is gone");
    }

    #[tokio::test]
    async fn who_may_not_ask_is_told_why() {
        let (said, _) = answered(vec![status(403, "may not get"), status(403, "may not get"), status(403, "may not get")]).await;
        assert_eq!(said, Err("403 may not get".to_owned()));
        let nowhere = ServiceAccount { server: None, account: "/none".into(), namespace: None, answer: Duration::from_secs(1) };
        let said = StatefulSetPod { stateful_set: "graft".into(), ordinal: 3, account: nowhere }.surplus().await;
        assert!(said.unwrap_err().contains("this is no pod"));
    }
}
