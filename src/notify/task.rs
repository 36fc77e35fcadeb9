//! The task of `notify` stages: one message, here and now.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::stage::{Deployed, Notify, TaskKind, Typed};
use crate::store::contract::StoreError;
use crate::store::contract::outbox::{Letter, LetterState};
use crate::task::contract::{
    Preview, Surroundings, Task, TaskCtx, TaskEnd, TaskError, TaskIdentity, TaskSpec, effect, env_of,
};

use super::address::{Address, MailDefaults};
use super::card::Card;
use super::notice::{Notice, one_line};
use super::post::Post;
use super::words;

/// How long a stage waits for a message to arrive; then the outbox goes on with it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Sends the message of a `notify` stage.
pub struct NotifyTask {
    post: Option<Arc<Post>>,
    mail: MailDefaults,
}

/// What is on record of a message.
#[derive(Debug, Serialize, Deserialize)]
struct Put {
    key: String,
}

impl NotifyTask {
    /// By this post; without one it can only be previewed. `mail` is what the process's own environment says; the stage's `env` and
    /// `vars` win.
    pub fn new(post: Option<Arc<Post>>, mail: MailDefaults) -> Self {
        Self { post, mail }
    }

    fn addresses(&self, notify: &Notify, around: &(impl Surroundings + ?Sized)) -> Vec<Address> {
        let own = MailDefaults::of(|name| {
            env_of(around, name).map(str::to_owned).or_else(|| {
                let text = format!("${{{{ vars.{name} }}}}");
                around.evaluate(&text).ok().filter(|value| *value != text)
            })
        });
        let mail = own.or(&self.mail);
        let repository = &around.identity().repository;
        notify.channels.iter().map(|channel| Address::of(channel, repository, &mail)).collect()
    }

    /// The key of the letter: the same after a crash; a later attempt of the job sends again only what was given up.
    fn key(post: &Post, who: &TaskIdentity, at: usize) -> Result<String, StoreError> {
        let run = who.run.as_ref().map(ToString::to_string).unwrap_or_default();
        let (job, attempt) = match &who.step {
            Some(step) => (step.job.to_string(), step.attempt),
            None => (who.stage.clone(), 1),
        };
        let key = |attempt: u32| match attempt {
            1 => format!("{run}.message.{job}.{at}"),
            _ => format!("{run}.message.{job}.{at}.{attempt}"),
        };
        for earlier in 1..attempt {
            match post.outbox().letter(&key(earlier))? {
                Some(letter) if letter.state != LetterState::Failed => return Ok(letter.key),
                _ => {}
            }
        }
        Ok(key(attempt))
    }
}

#[async_trait]
impl Task for NotifyTask {
    async fn preview(&self, spec: &TaskSpec, around: &dyn Surroundings) -> Result<Preview, TaskError> {
        let notify = settings(spec)?;
        let mut preview = Preview::default();
        for address in self.addresses(notify, around) {
            preview = preview.effect(format!("send a message by {}", around.mask(&address.shown())));
            preview.refused.extend(address.lacks().map(|lacks| format!("{}: {lacks}", address.channel())));
        }
        Ok(preview)
    }

    async fn run(&self, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError> {
        let notify = settings(spec)?;
        let post = self.post.as_deref().ok_or_else(|| TaskError::failed("messages cannot be sent from here"))?;
        let who = ctx.identity();
        if who.untrusted {
            return Err(TaskError::failed(
                "a run that outsiders can have written sends no messages; leave the stage out by \"if\"",
            ));
        }
        let addresses = self.addresses(notify, ctx);
        for address in &addresses {
            if let Some(lacks) = address.lacks() {
                return Err(TaskError::failed(format!("failed to send a message by {}: {lacks}", address.channel())));
            }
        }
        let notice = notice(notify, spec, ctx);
        let mut keys = Vec::new();
        for (at, address) in addresses.iter().enumerate() {
            let intended = Self::key(post, who, at).map_err(kept)?;
            let intent = json!({ "send": intended, "by": address.channel() });
            // The outbox takes a key once, so that doing it again does nothing.
            let act = || async {
                post.put(&intended, &notice, address).map_err(kept)?;
                Ok(Put { key: intended.clone() })
            };
            let put = effect(ctx, &format!("message-{at}"), intent, act, || async { Ok(None) }).await?;
            keys.push((put.key, address));
        }
        let list = || {
            let letters = keys.iter().map(|(key, _)| post.outbox().letter(key));
            Ok(letters.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect::<Vec<Letter>>())
        };
        let patience = PATIENCE.min(ctx.time_left());
        tokio::select! {
            settled = post.settle(list, patience) => drop(settled.map_err(kept)?),
            // What is in the outbox is sent all the same: somebody asked for it before somebody cancelled.
            () = ctx.cancelled() => return Err(TaskError::Cancelled),
        }
        let mut failed = Vec::new();
        for (key, address) in &keys {
            let Some(letter) = post.outbox().letter(key).map_err(kept)? else { continue };
            let shown = address.shown();
            match letter.state {
                LetterState::Done => ctx.log(&format!("sent by {shown}")).await,
                LetterState::Failed => failed.push(format!("failed to send the message by {shown}: {}", letter.reason)),
                LetterState::Waiting | LetterState::Superseded => {
                    let reason = if letter.reason.is_empty() { "no answer yet" } else { &letter.reason };
                    ctx.log(&format!(
                        "not sent by {shown} yet: {reason}; it stays in the outbox and is tried again for a day"
                    ))
                    .await;
                }
            }
        }
        match failed.is_empty() {
            true => Ok(TaskEnd::default()),
            false => Err(TaskError::failed(ctx.mask(&failed.join("\n")))),
        }
    }
}

fn settings(spec: &TaskSpec) -> Result<&Notify, TaskError> {
    match &spec.typed {
        Typed::Notify(notify) => Ok(notify),
        other => Err(TaskError::failed(format!("a \"{}\" stage came to the task of \"notify\"", other.kind().name()))),
    }
}

fn kept(error: StoreError) -> TaskError {
    TaskError::because("failed to keep the message", &error)
}

/// The message as a notice. What the file says, else what the deploys before came to.
fn notice(notify: &Notify, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Notice {
    let who = ctx.identity();
    let card = Card {
        id: who.run.as_ref().map(ToString::to_string).unwrap_or_default(),
        pipeline: who.pipeline.clone(),
        number: who.run_number,
        commit: who.commit.clone(),
        actor: who.actor.clone(),
        repository: who.repository.clone(),
        ..Card::default()
    };
    let message = notify.message.as_deref().map(|message| ctx.mask(message)).filter(|text| !text.trim().is_empty());
    let (title, lines) = match message {
        Some(message) => {
            let mut lines = message.trim().lines();
            let title = one_line(lines.next().unwrap_or_default());
            (title, lines.map(str::to_owned).collect())
        }
        None => (format!("{}: message of stage \"{}\"", card.title(), who.stage), deploys(spec)),
    };
    Notice {
        event: "message".to_owned(),
        at: ctx.now(),
        card,
        stage: Some(who.stage.clone()),
        app: None,
        environment: spec.environment.as_ref().map(|environment| environment.name.clone()),
        title,
        lines,
        gate: None,
        command: None,
    }
}

fn deploys(spec: &TaskSpec) -> Vec<String> {
    let left = spec.left_by(TaskKind::Deploy);
    left.filter_map(|before| serde_json::from_value::<Deployed>(before.facts.clone()).ok())
        .map(|deployed| {
            let environment = deployed.environment.as_deref().unwrap_or(&deployed.namespace);
            let images: Vec<String> =
                deployed.images.iter().map(|(container, image)| format!("{container} {image}")).collect();
            let place = words::place(&deployed.app, environment);
            format!("{place}: {} by {}; {}", deployed.result, deployed.strategy, images.join(", "))
        })
        .collect()
}
