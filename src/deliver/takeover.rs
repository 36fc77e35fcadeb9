//! When another hand changed what the deploy had set: what `on-drift` says.

use super::halt::{Halt, Reason};
use super::hands::Hands;
use super::orders::Orders;
use crate::event::{Ending, TaskReport};
use crate::stage::deploy::OnDrift;
use crate::task::contract::{DeployOrder, TaskEnd, TaskError};

/// Returns when the deploy may set again what it had set.
pub async fn met(hands: &Hands<'_>, orders: &Orders, text: &str) -> Result<(), Halt> {
    let ctx = hands.ctx;
    let app = hands.about.app.clone();
    ctx.report(TaskReport::Drifted { app, text: text.to_owned() }).await?;
    match hands.about.on_drift {
        OnDrift::Reassert => Ok(()),
        OnDrift::Fail => Err(Halt::Task(TaskError::ended(
            format!("{text}; `on-drift: fail` leaves everything as it is"),
            Ending::Drift,
            TaskEnd::default(),
        ))),
        OnDrift::Pause => {
            ctx.log(&format!(
                "{text}. It waits: `slipway deploy promote` sets it again, `slipway deploy abort` takes the release back"
            ))
            .await;
            tokio::select! {
                order = orders.next(ctx) => match order {
                    DeployOrder::Promote { by, .. } => {
                        orders.obey(ctx, &format!("{by} said to go on after a drift")).await?;
                        Ok(())
                    }
                    DeployOrder::Abort { by } => {
                        orders.obey(ctx, "aborted at a drift").await?;
                        Err(Halt::Back(Reason::new(format!("{by} aborted it, since {text}"))))
                    }
                },
                () = ctx.cancelled() => Err(Halt::Back(Reason::cancelled())),
            }
        }
    }
}
