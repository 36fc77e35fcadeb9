//! `slipway approve` and `slipway reject`, and orders to deploys under way: requests to the owner of a run; where nobody owns
//! it they are put on record here.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::{Clock, SystemClock};
use crate::engine::halt::{decision, ordered};
use crate::event::{EVENT_VERSION, Event, Order, Record};
use crate::exit::Exit;
use crate::id::{RunId, StageId};
use crate::state::RunState;
use crate::store::contract::{Request, Store, StoreError};
use crate::store::sqlite::SqliteStore;

use super::run::{on_runtime, store_failed};
use super::session::{lock_run, open_state, said_by_id, stored_plan, who};

/// How long the answer of the run's owner is waited for.
const ANSWER: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(50);

/// Decides on a stage that waits for people.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run
    pub run: String,
    /// The stage; without it the one that waits
    pub stage: Option<String>,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    pub comment: String,
    /// What the stage asks for
    #[arg(long = "input", value_name = "K=V", value_parser = super::load::pair)]
    pub inputs: Vec<(String, String)>,
    /// Who decides, by default you. On one's own machine that is a courtesy, not a proof
    #[arg(long = "as", value_name = "NAME")]
    pub by: Option<String>,
}

/// Runs `approve` (or `reject`, when `approved` is false).
pub fn run(args: &Args, approved: bool) -> Exit {
    on_runtime(async {
        let sent = match super::remote::Remote::of_environment(|name| std::env::var(name).ok()) {
            Ok(Some(server)) => Some(server.decide(args, approved).await),
            Ok(None) => None,
            Err(error) => Some(Err(error)),
        };
        if let Some(sent) = sent {
            return sent.unwrap_or_else(|error| {
                eprintln!("error: {error}");
                Exit::Usage
            });
        }
        match decide(args, approved).await {
            Ok(exit) => exit,
            Err(error) => store_failed(&error),
        }
    })
}

async fn decide(args: &Args, approved: bool) -> Result<Exit, StoreError> {
    let store = open_state()?;
    let run = store.resolve(&args.run)?;
    let state = state_of(&store, &run)?;
    let stage = match &args.stage {
        Some(stage) => stage_of(&state, stage)?,
        None => the_one_that_waits(&state, &run)?,
    };
    let (by, groups) = match &args.by {
        Some(by) => (by.clone(), Vec::new()),
        None => (who(), said_by_id("-Gn")),
    };
    let request = Request::Decide {
        stage: stage.clone(),
        approved,
        by,
        groups,
        comment: args.comment.clone(),
        inputs: args.inputs.clone(),
    };
    let said = if approved { "approved" } else { "rejected" };
    put(&store, &run, state, request, &format!("stage \"{stage}\" of run {run} is {said}")).await
}

/// Gives the deploy of `stage` an order.
pub fn order(run: &str, stage: Option<&str>, order: Order) -> Exit {
    on_runtime(async {
        let asked = async {
            let store = open_state()?;
            let run = store.resolve(run)?;
            let state = state_of(&store, &run)?;
            let stage = match stage {
                Some(stage) => stage_of(&state, stage)?,
                None => the_deploy_under_way(&state, &run)?,
            };
            let done = format!("the deploy of stage \"{stage}\" has its order");
            put(&store, &run, state, Request::Order { stage, order, by: who() }, &done).await
        };
        match asked.await {
            Ok(exit) => exit,
            Err(error) => store_failed(&error),
        }
    })
}

/// Puts a request and waits for what becomes of it. A run without owner gets the record from here.
async fn put(
    store: &SqliteStore,
    run: &RunId,
    state: RunState,
    request: Request,
    done: &str,
) -> Result<Exit, StoreError> {
    let after = state.seq;
    if store.owner(run).is_some() {
        store.request(run, &request)?;
        let rounds = ANSWER.as_millis() / LOOK.as_millis();
        for _ in 0..rounds {
            for record in store.records(run, after)? {
                match (&record.event, &request) {
                    (Event::RequestRefused { reason, .. }, _) => return Ok(refused(reason)),
                    (Event::ApprovalGiven { stage, .. }, Request::Decide { stage: asked, .. })
                    | (Event::OrderGiven { stage, .. }, Request::Order { stage: asked, .. })
                        if stage == asked =>
                    {
                        println!("{done}");
                        return Ok(Exit::Success);
                    }
                    _ => {}
                }
            }
            tokio::time::sleep(LOOK).await;
        }
        println!("asked; the run's process has not answered yet: `slipway runs {run}` shows what comes of it");
        return Ok(Exit::Success);
    }
    let lock = lock_run(store, run)?;
    // Somebody may have been at it between.
    let mut state = state_of(store, run)?;
    let actor = store.load(run)?.inputs.github["actor"].as_str().unwrap_or_default().to_owned();
    let event = match request {
        Request::Decide { stage, approved, by, groups, comment, inputs } => {
            decision(&state, &actor, stage, approved, (by, &groups), comment, &inputs)
        }
        Request::Order { stage, order, by } => ordered(&state, stage, order, by),
        Request::Cancel { .. } => return Ok(Exit::Success),
    };
    if let Event::RequestRefused { reason, .. } = &event {
        return Ok(refused(reason));
    }
    let record = Record { v: EVENT_VERSION, seq: state.seq + 1, at: SystemClock.now(), event };
    state.apply(&record).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    store.journal(run)?.append(record, true).await?;
    drop(lock);
    println!("{done}; nobody works on the run now, go on with: slipway resume {run}");
    Ok(Exit::Success)
}

fn refused(reason: &str) -> Exit {
    eprintln!("error: {reason}");
    Exit::PipelineFailed
}

/// The state of a run that is not over.
pub fn state_of(store: &SqliteStore, run: &RunId) -> Result<RunState, StoreError> {
    let stored = store.load(run)?;
    if stored.row.outcome.is_some() {
        return Err(StoreError::NotFound(format!("run \"{run}\" is over already")));
    }
    let plan = Arc::new(stored_plan(run, &stored.text, stored.inputs)?);
    let mut state = RunState::new(plan);
    for record in store.records(run, 0)? {
        state.apply(&record).map_err(|error| StoreError::Unreadable(error.to_string()))?;
    }
    Ok(state)
}

fn stage_of(state: &RunState, name: &str) -> Result<StageId, StoreError> {
    let plan = state.plan();
    let found = plan.find(name).map(|index| plan.stage(index).id.clone());
    found.ok_or_else(|| {
        let known: Vec<&str> = plan.stages.iter().take(20).map(|stage| stage.id.as_str()).collect();
        StoreError::NotFound(format!("the run has no stage \"{name}\"; it has {}", known.join(", ")))
    })
}

fn the_one_that_waits(state: &RunState, run: &RunId) -> Result<StageId, StoreError> {
    let plans = &state.plan().stages;
    let waiting: Vec<&StageId> =
        plans.iter().zip(&state.stages).filter(|(_, stage)| stage.waits()).map(|(plan, _)| &plan.id).collect();
    match waiting.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(StoreError::NotFound(format!("no stage of run \"{run}\" waits for a decision"))),
        several => {
            let names: Vec<&str> = several.iter().map(|stage| stage.as_str()).collect();
            Err(StoreError::NotFound(format!("several stages wait, say which: {}", names.join(", "))))
        }
    }
}

fn the_deploy_under_way(state: &RunState, run: &RunId) -> Result<StageId, StoreError> {
    let plans = &state.plan().stages;
    let active = plans.iter().zip(&state.stages).filter(|(plan, stage)| {
        let deploys = plan.job.typed.as_ref().is_some_and(|typed| typed.key.value == "deploy");
        deploys && stage.phase == crate::state::StagePhase::Active
    });
    match active.map(|(plan, _)| plan.id.clone()).collect::<Vec<_>>().as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(StoreError::NotFound(format!("no deploy of run \"{run}\" is under way"))),
        several => {
            let names: Vec<&str> = several.iter().map(StageId::as_str).collect();
            Err(StoreError::NotFound(format!("several deploys are under way, say which: {}", names.join(", "))))
        }
    }
}
