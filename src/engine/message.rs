//! What attempts tell the loop.

use tokio::sync::{mpsc, oneshot};

use crate::event::Event;
use crate::id::{AttemptId, StepKey};
use crate::store::contract::{Committed, StoreError};

/// Messages that may wait for the loop. It is never far behind; an attempt that fills this waits.
pub const MESSAGE_QUEUE: usize = 1024;

/// A message to the loop.
pub enum Message {
    /// Something happened.
    Happened {
        /// What.
        event: Box<Event>,
        /// Reach the disk itself.
        sync: bool,
        /// Gets the commit to wait for, or why the event was refused.
        reply: Option<oneshot::Sender<Result<Committed, StoreError>>>,
    },
    /// Masked log text.
    Output {
        /// Of this step.
        step: StepKey,
        /// The text.
        text: String,
    },
    /// A masked line of a job's preparation or clean-up.
    JobLine {
        /// Of this attempt.
        attempt: AttemptId,
        /// The line.
        text: String,
    },
    /// A passing state of a job's preparation.
    JobState {
        /// Of this attempt.
        attempt: AttemptId,
        /// The state.
        text: String,
    },
}

/// The loop is gone: the run ends at once. Attempts give up when they see it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the run's journal cannot be written: {0}")]
pub struct JournalGone(pub String);

/// The attempts' end of the loop's queue.
#[derive(Clone)]
pub struct Reporter(mpsc::Sender<Message>);

impl Reporter {
    /// Over `sender`.
    pub fn new(sender: mpsc::Sender<Message>) -> Self {
        Self(sender)
    }

    /// Tells of an event without waiting for its commit (later ones are committed after it).
    pub async fn tell(&self, event: Event) -> Result<(), JournalGone> {
        self.send(Message::Happened { event: Box::new(event), sync: false, reply: None }).await
    }

    /// Tells of an event and waits until it is committed.
    pub async fn commit(&self, event: Event) -> Result<(), JournalGone> {
        self.commit_as(event, false).await
    }

    async fn commit_as(&self, event: Event, sync: bool) -> Result<(), JournalGone> {
        let (reply, answer) = oneshot::channel();
        self.send(Message::Happened { event: Box::new(event), sync, reply: Some(reply) }).await?;
        let committed = answer.await.map_err(|_| JournalGone("the run has ended".to_owned()))?;
        committed.map_err(gone)?.await.map_err(gone)
    }

    /// The same, down to the disk: for effects outside the machine.
    pub async fn commit_synced(&self, event: Event) -> Result<(), JournalGone> {
        self.commit_as(event, true).await
    }

    /// Sends anything else.
    pub async fn send(&self, message: Message) -> Result<(), JournalGone> {
        self.0.send(message).await.map_err(|_| JournalGone("the run has ended".to_owned()))
    }

    /// For callers that cannot wait: drops the message when the queue is full (only for what is shown, never for events).
    pub fn show(&self, message: Message) {
        let _ = self.0.try_send(message);
    }
}

fn gone(error: StoreError) -> JournalGone {
    JournalGone(error.to_string())
}
