//! What a member says of itself when something is wrong with it: settings, readiness, metrics, the newest lines of its log; and how much it logs.
//!
//! Of this member alone: nothing is passed on, and no leader is needed. What is in it may be sent to somebody else: secrets are named by the files that
//! hold them, and neither log nor metrics say what workflows hold.

use graft_proto::errors::{Fault, quoted};
use graft_proto::v1;

use super::Shared;
use super::http::health::checks;
use super::http::metrics::scraped;
use crate::observability::logging::ProcessLog;

/// Tells the level of the log, and changes it if one is given.
pub(super) fn log_level(shared: &Shared, principal: &str, request: v1::LogLevelRequest) -> Result<v1::LogLevelResponse, Fault> {
    let member = shared.api.info.member_name.clone();
    let Some(ProcessLog { level, .. }) = &shared.api.info.log else {
        if request.level.is_some() {
            let detail = "cannot be changed here: the log is that of the program in which this member runs";
            return Err(Fault::invalid("the level of the log", detail).remedy("change it where that program sets up its log"));
        }
        return Ok(v1::LogLevelResponse { member, ..Default::default() });
    };
    let before = level.now();
    if let Some(asked) = request.level {
        let asked = if asked.is_empty() { level.configured() } else { asked };
        // Told while it is told: the new level may leave it out.
        tracing::warn!(principal, was = before, now = asked, "the level of the log is changed");
        level.set(&asked).map_err(|why| {
            Fault::invalid(format!("level {}", quoted(&asked)), format!("is none: {why}"))
                .remedy("use error, warn, info, debug or trace, or directives like `info,graftd::scheduler=debug`")
        })?;
    }
    Ok(v1::LogLevelResponse { level: level.now(), configured: level.configured(), before, member })
}

/// All that this member knows of itself.
pub(super) fn diagnosis(shared: &Shared) -> Result<v1::DiagnoseResponse, Fault> {
    let info = &shared.api.info;
    let (log_level, log_lines) = match &info.log {
        Some(log) => (log.level.now(), log.recent.lines()),
        None => Default::default(),
    };
    Ok(v1::DiagnoseResponse {
        member: info.member_name.clone(),
        version: info.version.clone(),
        configuration: info.configuration.borrow().to_string(),
        readiness: checks(shared),
        metrics: scraped(shared)?,
        log_level,
        log_lines,
    })
}
