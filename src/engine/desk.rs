//! What people decided and ordered, where attempts can see it. The loop fills it from the journal's records.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::event::{Event, Order};
use crate::id::StageId;
use crate::state::{Asked, Given, RunState};

/// What is on the desk of one stage.
#[derive(Debug, Clone, Default)]
pub struct Papers {
    /// What it asks.
    pub asked: Option<Asked>,
    /// Decisions, in order.
    pub given: Vec<Given>,
    /// Orders to its deploy, in order.
    pub orders: Vec<(Order, String)>,
}

/// The desk of a run.
pub struct Desk {
    papers: Mutex<HashMap<StageId, Papers>>,
    changed: watch::Sender<u64>,
    paused: watch::Sender<bool>,
}

impl Desk {
    /// With what is on record already.
    pub fn of(state: &RunState) -> Self {
        let mut papers = HashMap::new();
        for (plan, stage) in state.plan().stages.iter().zip(&state.stages) {
            if stage.asked.is_some() || !stage.orders.is_empty() {
                let (asked, given, orders) = (stage.asked.clone(), stage.given.clone(), stage.orders.clone());
                papers.insert(plan.id.clone(), Papers { asked, given, orders });
            }
        }
        Self { papers: Mutex::new(papers), changed: watch::channel(0).0, paused: watch::channel(false).0 }
    }

    /// Takes an event in that is on record.
    pub fn happened(&self, event: &Event, state: &RunState) {
        let (Event::ApprovalWaiting { stage, .. }
        | Event::ApprovalGiven { stage, .. }
        | Event::OrderGiven { stage, .. }) = event
        else {
            return;
        };
        if let Some(index) = state.find(stage) {
            let now = state.stage(index);
            let (asked, given, orders) = (now.asked.clone(), now.given.clone(), now.orders.clone());
            self.lock().insert(stage.clone(), Papers { asked, given, orders });
            self.changed.send_modify(|version| *version += 1);
        }
    }

    /// What lies there for `stage`.
    pub fn of_stage(&self, stage: &StageId) -> Papers {
        self.lock().get(stage).cloned().unwrap_or_default()
    }

    /// Told of every change; a fresh receiver has seen all that is there now.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Whoever waits for a person gives up: the run ends for now.
    pub fn pause(&self) {
        self.paused.send_replace(true);
    }

    /// Resolves when the run ends for now.
    pub async fn paused(&self) {
        let mut paused = self.paused.subscribe();
        if paused.wait_for(|paused| *paused).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<StageId, Papers>> {
        self.papers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
