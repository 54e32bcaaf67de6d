//! `notify`: tells whoever waits for the document.

use graft_client::{Node, NodeContext, NodeResult, Outcome};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Document, Finalise, passed};

/// Sends word to somebody. Here a message is a line in the state; in earnest the idempotency key would keep a mail from going out twice.
pub struct Notify;

/// To whom, and about what.
#[derive(Debug, Serialize, Deserialize)]
pub struct NotifyConfig {
    /// To whom.
    pub to: String,
    /// About what.
    pub subject: String,
}

impl Node for Notify {
    const NAME: &'static str = "notify";
    type State = Document;
    type Config = NotifyConfig;

    async fn execute(&self, cx: NodeContext, _: Document, config: NotifyConfig) -> NodeResult<Document> {
        let message = json!({ "to": config.to, "subject": config.subject, "key": cx.idempotency_key() });
        Ok(passed(Self::NAME, Outcome::done()).append("/messages", &message).next(Finalise::with(())))
    }
}
