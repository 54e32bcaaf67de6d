//! Looking again and again: `--watch` of the verbs that look.
//!
//! On a terminal the answer is drawn over the one before. Elsewhere it is written again, but only when it has changed; whether it has is seen in
//! its document, since what people read says how long ago things were, and so changes by itself.

use std::ops::ControlFlow;

use tokio::time::{MissedTickBehavior, interval};

use super::Session;
use crate::cli::which::Watching;
use crate::error::CliResult;
use crate::output::screen::Screen;
use crate::output::{Answer, compact};

/// Whether there is more to see, with what was seen.
pub(crate) type Seen<A> = ControlFlow<A, A>;

/// Shows what `ask` answers: once, or again and again until it breaks.
pub(crate) async fn show<A: Answer>(
    session: &Session,
    watching: &Watching,
    mut ask: impl AsyncFnMut() -> CliResult<Seen<A>>,
) -> CliResult<A> {
    let Some(every) = watching.watch else {
        let (ControlFlow::Break(answer) | ControlFlow::Continue(answer)) = ask().await?;
        session.output.show(&answer)?;
        return Ok(answer);
    };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut screen = None;
    let mut before = None;
    loop {
        ticks.tick().await;
        let seen = ask().await?;
        let (ControlFlow::Break(answer) | ControlFlow::Continue(answer)) = &seen;
        if session.output.is_live() {
            // The terminal is taken once there is something to see.
            let screen = match &mut screen {
                Some(screen) => screen,
                None => screen.insert(Screen::take(session.output.colours())?),
            };
            screen.draw_top(&answer.people(session.output.view()))?;
        } else {
            let now = compact(&answer.document())?;
            if before.as_ref() != Some(&now) {
                session.output.show_next(answer)?;
                before = Some(now);
            }
        }
        if let ControlFlow::Break(answer) = seen {
            return Ok(answer);
        }
    }
}
