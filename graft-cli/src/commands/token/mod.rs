//! Verbs of `graft token`: who is let in, with what.
mod create;
mod list;
mod revoke;

use graft_client::TokenPage;
use graft_client::proto::ApiToken;
use graft_proto::documents::{self, ApiTokenList};

use super::paging::Paged;
use crate::cli::access::Token;
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::style::Line;
use crate::output::table::{column, table, wide};
use crate::output::time::{ago, duration_ms};
use crate::output::{Answer, View, compact};

/// Does what was asked.
pub(crate) async fn run(session: &Session, verb: Token) -> CliResult {
    match verb {
        Token::Create(args) => create::run(session, args).await,
        Token::List(args) => list::run(session, &args).await,
        Token::Revoke(which) => revoke::run(session, &which).await,
    }
}

/// How long a token is still of use.
fn left(token: &ApiToken, now_ms: u64) -> String {
    match token.expires_ms.saturating_sub(now_ms) {
        0 => "expired".to_owned(),
        left => duration_ms(left),
    }
}

impl Answer for TokenPage {
    type Document = ApiTokenList;

    fn document(&self) -> ApiTokenList {
        let tokens = self.tokens.iter().map(documents::ApiToken::from).collect();
        ApiTokenList { tokens, next_cursor: self.next_cursor.clone() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.document().tokens.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        self.tokens.iter().map(|token| token.id.clone()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |token: &ApiToken| {
            let (left, made) = (left(token, view.now_ms), ago(token.created_ms, view.now_ms));
            vec![token.id.clone(), token.name.clone(), token.grants.join(" "), left, made, token.created_by.clone()]
        };
        let columns = [column("ID"), column("NAME"), column("GRANTS"), column("EXPIRES IN"), column("MADE"), wide("BY")];
        table(view, &columns, self.tokens.iter().map(row))
    }
}

impl Paged for TokenPage {
    fn next_cursor(&mut self) -> &mut Option<String> {
        &mut self.next_cursor
    }

    fn rows(&self) -> usize {
        self.tokens.len()
    }

    fn append(&mut self, more: Self) {
        self.tokens.extend(more.tokens);
        self.next_cursor = more.next_cursor;
    }
}
