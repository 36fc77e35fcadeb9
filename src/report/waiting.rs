//! What is said of stages that wait for people, and of what people decided.

use crate::event::{Event, Order};
use crate::id::StageId;

use super::style::Ink;

/// Lines with the stage that they are of and their colour.
pub fn lines(run: &str, event: &Event) -> Vec<(StageId, Ink, String)> {
    match event {
        Event::ApprovalWaiting { stage, environment, approvers, required, until, .. } => {
            let of = environment.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
            let who = match (approvers.is_empty(), required) {
                (true, _) => String::new(),
                (false, 1) => format!(" by {}", approvers.join(" or ")),
                (false, many) => format!(" by {many} of {}", approvers.join(", ")),
            };
            vec![
                (stage.clone(), Ink::Yellow, format!("waits for approval{of}{who}, until {}", until.rfc3339())),
                (stage.clone(), Ink::Yellow, format!("approve: slipway approve {run} {stage}")),
                (stage.clone(), Ink::Yellow, format!("reject:  slipway reject {run} {stage}")),
            ]
        }
        Event::ApprovalGiven { stage, approved, by, comment, .. } => {
            let comment = if comment.is_empty() { String::new() } else { format!(": {comment}") };
            let (ink, how) = if *approved { (Ink::Green, "approved") } else { (Ink::Red, "rejected") };
            vec![(stage.clone(), ink, format!("{how} by {by}{comment}"))]
        }
        Event::OrderGiven { stage, order, by } => {
            let what = match order {
                Order::Promote => "to go on",
                Order::PromoteFull => "to go on to the end",
                Order::Abort => "to take it back",
            };
            vec![(stage.clone(), Ink::Yellow, format!("{by} orders {what}"))]
        }
        _ => Vec::new(),
    }
}
