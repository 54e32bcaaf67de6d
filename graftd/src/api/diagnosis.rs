//! What a member says of itself when something is wrong with it: settings, readiness, metrics, the newest lines of its log; how much it logs;
//! and where its processor time goes.
//!
//! Of this member alone: nothing is passed on, and no leader is needed. What is in it may be sent to somebody else: secrets are named by the files that
//! hold them, and neither log nor metrics say what workflows hold.

use std::time::Duration;

use graft_proto::errors::{ErrorCode, Fault, quoted};
use graft_proto::v1;

use super::Shared;
use super::http::health::checks;
use super::http::metrics::scraped;
use crate::observability::logging::ProcessLog;
use crate::observability::profile::{self, DURATION_DEFAULT, DURATION_MAX, Profile, ProfileError};

/// Advice to who asks for a profile while another one is made, in milliseconds.
const BUSY_RETRY_MS: u64 = 5_000;

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

/// Samples this process.
pub(super) async fn profile(shared: &Shared, request: v1::ProfileRequest) -> Result<v1::ProfileResponse, Fault> {
    let duration = match Duration::from_millis(request.duration_ms) {
        Duration::ZERO => DURATION_DEFAULT,
        duration if duration > DURATION_MAX => {
            let detail = format!("is to take {} ms, and at most {} are allowed", request.duration_ms, DURATION_MAX.as_millis());
            return Err(Fault::invalid("the profile", detail).remedy("ask for less, several times"));
        }
        duration => duration,
    };
    let made = tokio::select! {
        made = profile::profile(duration) => made,
        () = shared.shutdown.cancelled() => return Err(Fault::shutting_down()),
    };
    let Profile { bytes, samples } = made.map_err(|error| {
        let this = format!("member {}", quoted(&shared.api.info.member_name));
        match error {
            ProfileError::Busy => {
                let fault = Fault::new(ErrorCode::Overloaded, this, error.to_string());
                Fault { retry_after_ms: BUSY_RETRY_MS, ..fault.remedy("ask again when that is over: it takes a minute at most") }
            }
            ProfileError::TooLarge(_) => Fault::too_large(this, error.to_string()).remedy("ask for less time"),
            ProfileError::Failed(_) => Fault::new(ErrorCode::Internal, this, error.to_string()),
        }
    })?;
    Ok(v1::ProfileResponse { profile: bytes.into(), samples, member: shared.api.info.member_name.clone() })
}
