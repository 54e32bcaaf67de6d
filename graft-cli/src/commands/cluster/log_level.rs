//! `graft cluster log-level`: how much each member logs, and how much it is to.

use graft_client::proto::LogLevelResponse;
use graftd::observability::logging::check_level;
use schemars::JsonSchema;
use serde::Serialize;

use super::each::{Asked, each};
use crate::cli::Global;
use crate::cli::place::LogLevelArgs;
use crate::commands::Session;
use crate::error::{CliError, CliResult};
use crate::output::json::{Document, some};
use crate::output::style::Line;
use crate::output::table::{column, table};
use crate::output::{Answer, View, compact};

/// Shows the levels, after the change if one was asked for.
pub(super) async fn run(session: &Session, global: &Global, args: &LogLevelArgs) -> CliResult {
    if let Some(why) = args.level.as_deref().and_then(|level| check_level(level).err()) {
        return Err(CliError::Usage(format!("that is no level: {why}")));
    }
    let mut seen = session.client.cluster_status().await?;
    if !args.members.is_empty() {
        if let Some(unknown) = args.members.iter().find(|name| !seen.members.iter().any(|member| member.name == **name)) {
            return Err(CliError::NotFound(format!("there is no member {unknown}\n  See who is there with: graft cluster members")));
        }
        seen.members.retain(|member| args.members.contains(&member.name));
    }
    let level = args.level.as_deref().or(args.reset.then_some(""));
    let levels = each(&session.client, &seen, global.timeout, async |client| client.log_level(level).await).await;
    let (silent, of) = (levels.iter().filter(|asked| asked.answer.is_err()).count(), levels.len());
    session.output.show(&Levels(levels))?;
    if silent > 0 { Err(CliError::NotAllAnswer { silent, of }) } else { Ok(()) }
}

struct Levels(Vec<Asked<LogLevelResponse>>);

/// How much a member logs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LevelJson {
    /// Name of the member.
    member: String,
    /// The level in force; `null`: it does not answer, or its log is that of the program in which it runs.
    level: Option<String>,
    /// That of its configuration.
    configured: Option<String>,
    /// The level in force before it was asked.
    before: Option<String>,
    /// Why it does not answer, or not as asked.
    error: Option<String>,
}

impl Document for LevelJson {
    const KIND: &'static str = "MemberLogLevel";
}

/// How much each member logs.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct LevelsJson {
    /// The members, by name.
    members: Vec<LevelJson>,
}

impl Document for LevelsJson {
    const KIND: &'static str = "MemberLogLevelList";
}

impl From<&Asked<LogLevelResponse>> for LevelJson {
    fn from(Asked { member, answer }: &Asked<LogLevelResponse>) -> Self {
        let (said, error) = match answer {
            Ok(said) => (said.clone(), None),
            Err(error) => (LogLevelResponse { member: member.name.clone(), ..LogLevelResponse::default() }, Some(error.clone())),
        };
        let LogLevelResponse { level, configured, before, member } = said;
        Self { member, level: some(&level), configured: some(&configured), before: some(&before), error }
    }
}

impl Answer for Levels {
    type Document = LevelsJson;

    fn document(&self) -> LevelsJson {
        LevelsJson { members: self.0.iter().map(LevelJson::from).collect() }
    }

    fn each(&self) -> CliResult<Vec<String>> {
        self.document().members.iter().map(compact).collect()
    }

    fn names(&self) -> Vec<String> {
        self.document().members.into_iter().map(|row| row.member).collect()
    }

    fn people(&self, view: View) -> Vec<Line> {
        let row = |row: LevelJson| {
            let level = match row.error {
                Some(error) => format!("not as asked: {error}"),
                None => row.level.unwrap_or_else(|| "not its own log".to_owned()),
            };
            let or = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
            vec![row.member, level, or(row.configured), or(row.before)]
        };
        let columns = [column("MEMBER"), column("LEVEL"), column("CONFIGURED"), column("BEFORE")];
        table(view, &columns, self.document().members.into_iter().map(row))
    }
}
