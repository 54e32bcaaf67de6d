//! `graft cluster join-token` and `graft cluster approve`: who may join.

use graft_client::NewJoinToken;
use graft_client::proto::{CreateJoinTokenResponse, JoinGrant};
use graft_proto::documents;

use crate::cli::place::{ApproveArgs, GrantId, TokenCreate};
use crate::commands::Session;
use crate::error::CliResult;
use crate::output::style::{Line, Tone};
use crate::output::table::{column, table, wide};
use crate::output::time::{ago, duration_ms, now_ms};
use crate::output::{Answer, View, compact, note};

/// Makes a token. Only the token goes to stdout, so that it can be written to a file as it is.
pub(super) async fn create(session: &Session, args: TokenCreate) -> CliResult {
    let TokenCreate { member, ttl, uses } = args;
    let made = session.client.create_join_token(NewJoinToken { member, ttl, uses: Some(uses) }).await?;
    session.output.show(&made)?;
    if session.output.is_for_people() {
        let until = made.grant.as_ref().map_or_else(String::new, |grant| format!(" It can be used for {} from now.", left(grant)));
        note(&format!("Put it into a file, and name that in cluster.join_token_file of the new member.{until} It is not shown again."));
    }
    Ok(())
}

/// Lists what stands.
pub(super) async fn list(session: &Session) -> CliResult {
    let grants = Grants(session.client.join_grants().await?);
    session.output.show(&grants)?;
    if session.output.is_for_people() && grants.0.is_empty() {
        note("Nobody has a token or an approval. Make one with: graft cluster join-token create");
    }
    Ok(())
}

/// Takes one away.
pub(super) async fn revoke(session: &Session, which: GrantId) -> CliResult {
    session.client.revoke_join_grant(&which.id).await?;
    session.output.show(&Grants(session.client.join_grants().await?))?;
    note(&format!("{} is revoked.", which.id));
    Ok(())
}

/// Approves a member.
pub(super) async fn approve(session: &Session, args: ApproveArgs) -> CliResult {
    let grant = session.client.approve_member(&args.member, args.ttl).await?;
    let valid = left(&grant);
    session.output.show(&Grants(vec![grant]))?;
    note(&format!("{} may join within {valid}, with a certificate of that name.", args.member));
    Ok(())
}

/// How long a grant is still of use.
fn left(grant: &JoinGrant) -> String {
    match grant.expires_ms.saturating_sub(now_ms()) {
        0 => "expired".to_owned(),
        left => duration_ms(left),
    }
}

impl Answer for CreateJoinTokenResponse {
    type Document = documents::JoinToken;

    fn document(&self) -> documents::JoinToken {
        self.into()
    }

    fn names(&self) -> Vec<String> {
        self.grant.iter().map(|grant| grant.id.clone()).collect()
    }

    fn people(&self, _: View) -> Vec<Line> {
        vec![Line::of(Tone::Plain, self.token.clone())]
    }
}

struct Grants(Vec<JoinGrant>);

impl Answer for Grants {
    type Document = documents::JoinGrantList;

    fn document(&self) -> documents::JoinGrantList {
        documents::JoinGrantList { grants: self.0.iter().map(documents::JoinGrant::from).collect() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.document().grants.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|grant| grant.id.clone()).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |grant: &JoinGrant| {
            let member = if grant.member.is_empty() { "any" } else { &grant.member };
            let used = format!("{} of {}", grant.used_by.len(), grant.uses);
            let made = ago(grant.created_ms, now_ms());
            vec![grant.id.clone(), grant.kind.clone(), member.to_owned(), used, left(grant), made, grant.created_by.clone()]
        };
        let columns = [column("ID"), column("KIND"), column("MEMBER"), column("USED"), column("EXPIRES IN"), column("MADE"), wide("BY")];
        table(view, &columns, self.0.iter().map(row))
    }
}
