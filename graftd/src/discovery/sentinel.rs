//! Whether a cluster was formed here before, as a ConfigMap of Kubernetes remembers it.
//!
//! A marker in the data directory keeps a member from ever forming a cluster again, and goes with its volume. Where all volumes are lost at once, the
//! pods that come back are all fresh: they would form an empty cluster of the old name, and nobody would see that everything is gone. So the
//! cluster is noted outside of all volumes as well, and a fresh member looks there before it forms one. What is noted keeps nobody from joining.
//!
//! The ConfigMap has to be there (the chart makes it, empty), and the service account needs `get` and `patch` of that one object, nothing else.

use kube::api::{ApiResource, Patch, PatchParams};
use serde_json::{Value, json};

use super::records::Marker;
use super::service_account::{ServiceAccount, told};

/// The ConfigMap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentinel {
    /// Its name.
    pub config_map: String,
    /// Whom to ask, and as whom.
    pub account: ServiceAccount,
}

impl Sentinel {
    /// Why no cluster may be formed here, as far as this says; `None`: it may.
    pub async fn forbids(&self) -> Option<String> {
        let name = &self.config_map;
        match self.noted().await {
            Ok(None) => None,
            Ok(Some(cluster_id)) => Some(format!(
                "cluster {cluster_id} was formed here before, as ConfigMap {name} says, and none of its members is here: their data are missing; \
                 bring their volumes back, or restore a backup for the first of them; to begin anew with nothing, remove cluster_id from the ConfigMap"
            )),
            Err(why) => Some(format!("nobody says whether a cluster was formed here before (ConfigMap {name}): {why}")),
        }
    }

    /// The id of the cluster that is noted.
    async fn noted(&self) -> Result<Option<String>, String> {
        let found = self.account.get(&kind(), &self.config_map).await?;
        let noted = found.as_ref().and_then(|found| found.pointer("/data/cluster_id")).and_then(Value::as_str);
        Ok(noted.filter(|id| !id.is_empty()).map(str::to_owned))
    }

    /// Notes the cluster that this member is part of, unless it is noted already.
    ///
    /// # Errors
    /// Why that could not be done.
    pub async fn note(&self, marker: &Marker) -> Result<(), String> {
        if self.noted().await?.as_ref() == Some(&marker.cluster_id) {
            return Ok(());
        }
        let noted = json!({"data": {"cluster_id": marker.cluster_id, "cluster_name": marker.cluster_name}});
        let (objects, asks) = (self.account.objects(&kind())?, PatchParams::default());
        let patched = self.account.in_time(objects.patch(&self.config_map, &asks, &Patch::Merge(noted))).await?;
        patched.map(drop).map_err(|error| told(&error))
    }
}

fn kind() -> ApiResource {
    ApiResource {
        group: String::new(),
        version: "v1".to_owned(),
        api_version: "v1".to_owned(),
        kind: "ConfigMap".to_owned(),
        plural: "configmaps".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::api_server::{account, server, status};
    use super::super::records::{FIRST_EPOCH, FORMAT};
    use super::*;

    fn config_map(data: Value) -> (u16, Value) {
        (200, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "graft-cluster"}, "data": data}))
    }

    async fn forbidden(answer: (u16, Value)) -> Option<String> {
        let (url, serving) = server(vec![answer]).await;
        let (_folder, account) = account(&url);
        let forbids = Sentinel { config_map: "graft-cluster".into(), account }.forbids().await;
        assert_eq!(serving.await.unwrap(), ["GET /api/v1/namespaces/ns/configmaps/graft-cluster HTTP/1.1 as secret"]);
        forbids
    }

    #[tokio::test]
    async fn a_cluster_that_is_noted_and_nobody_who_could_say_forbid_another_one() {
        assert_eq!(forbidden(config_map(Value::Null)).await, None, "an empty one");
        assert_eq!(forbidden(config_map(json!({"cluster_id": ""}))).await, None);
        assert_eq!(forbidden(status(404, "not found")).await, None);
        let why = forbidden(config_map(json!({"cluster_id": "c1"}))).await.unwrap();
        assert!(why.contains("cluster c1 was formed here before") && why.contains("graft-cluster"), "{why}");
        let why = forbidden(status(403, "may not get")).await.unwrap();
        assert!(why.contains("nobody says") && why.ends_with("403 may not get"), "{why}");
    }

    #[tokio::test]
    async fn the_cluster_is_noted_once() {
        let marker = Marker {
            format: FORMAT,
            cluster_id: "c2".into(),
            cluster_name: "graft".into(),
            epoch: FIRST_EPOCH,
            raft_id: 1,
            member: "graft-0".into(),
        };
        let noted = async |answers: Vec<(u16, Value)>| {
            let (url, serving) = server(answers).await;
            let (_folder, account) = account(&url);
            let noted = Sentinel { config_map: "graft-cluster".into(), account }.note(&marker).await;
            let verbs: Vec<String> = serving.await.unwrap().iter().map(|asked| asked.split(' ').next().unwrap().to_owned()).collect();
            (noted, verbs)
        };
        let (old, new) = (config_map(json!({"cluster_id": "c1"})), config_map(json!({"cluster_id": "c2"})));
        assert_eq!(
            noted(vec![old.clone(), new.clone()]).await,
            (Ok(()), vec!["GET".to_owned(), "PATCH".to_owned()]),
            "another one was restored"
        );
        assert_eq!(noted(vec![new]).await, (Ok(()), vec!["GET".to_owned()]));
        let refused = noted(vec![old, status(404, "not found")]).await;
        assert_eq!(refused, (Err("404 not found".to_owned()), vec!["GET".to_owned(), "PATCH".to_owned()]));
    }
}
