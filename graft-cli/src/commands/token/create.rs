//! `graft token create`

use graft_client::NewToken;
use graft_client::proto::CreateTokenResponse;
use graft_proto::documents::NewApiToken;

use super::left;
use crate::cli::access::TokenCreate;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::style::{Line, Tone};
use crate::output::time::now_ms;
use crate::output::{Answer, View, note};

/// Makes a token. Only the token goes to stdout, so that it can be written to a file as it is.
pub(super) async fn run(session: &Session, args: TokenCreate) -> CliResult {
    let TokenCreate { name, grants, ttl } = args;
    let made = session.client.create_token(NewToken { name, grants, ttl }).await?;
    session.output.show(&made)?;
    if session.output.is_for_people() {
        let what = made.token.as_ref().map_or_else(String::new, |token| {
            format!(" Its id is {}; it allows {} for {} from now.", token.id, token.grants.join(" "), left(token, now_ms()))
        });
        note(&format!(
            "Put it into a file that only its holder can read, and name that with --token-file or in GRAFT_TOKEN_FILE.{what} It is not shown again."
        ));
    }
    Ok(())
}

impl Answer for CreateTokenResponse {
    type Document = NewApiToken;

    fn document(&self) -> NewApiToken {
        self.into()
    }

    fn names(&self) -> Vec<String> {
        self.token.iter().map(|token| token.id.clone()).collect()
    }

    fn people(&self, _: View) -> Vec<Line> {
        vec![Line::of(Tone::Plain, self.secret.clone())]
    }
}
