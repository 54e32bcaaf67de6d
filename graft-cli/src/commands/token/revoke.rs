//! `graft token revoke`

use crate::cli::access::TokenId;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::note;

/// Takes a token away, and shows what is left. That it is gone is said first: who revokes his own token may not look any more.
pub(super) async fn run(session: &Session, which: &TokenId) -> CliResult {
    session.client.revoke_token(&which.id).await?;
    note(&format!("{} is revoked: within a second nobody is let in with it.", which.id));
    session.output.show(&session.client.tokens(0, "").await?)
}
