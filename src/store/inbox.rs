//! The port of the inbox: webhooks that came, each once, on disk before anybody is told so.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::clock::Timestamp;
use crate::store::contract::StoreError;

/// A webhook as it came, its signature checked.
#[derive(Debug, Clone)]
pub struct NewDelivery {
    /// The repository as the server's configuration names it.
    pub repository: String,
    /// The forge's id of the delivery.
    pub delivery: String,
    /// The forge's name of the event.
    pub event: String,
    /// The raw body.
    pub body: Vec<u8>,
    /// When it came.
    pub received: Timestamp,
}

/// What became of a webhook that was put into the inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// Its number.
    pub seq: u64,
    /// Whether it is new; else it was there already, and nothing was changed.
    pub fresh: bool,
}

/// Resolves when a webhook is on disk.
pub struct Receipt(pub oneshot::Receiver<Result<Accepted, StoreError>>);

impl Future for Receipt {
    type Output = Result<Accepted, StoreError>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = || Err(StoreError::failed("write the inbox", "its writer has ended"));
        Pin::new(&mut self.0).poll(cx).map(|result| result.unwrap_or_else(|_| ended()))
    }
}

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// It is to be worked on.
    Waiting,
    /// Its runs are made; or there was nothing to run.
    Done,
    /// It cannot be worked on: it is unreadable, or whoever tried died of it. Kept for people to look at.
    Quarantined,
}

/// A delivery.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Its number.
    pub seq: u64,
    /// As it came; the body is empty once it is done.
    pub new: NewDelivery,
    /// How it stands.
    pub state: DeliveryState,
    /// How often somebody began to work on it without saying how that ended.
    pub tries: u32,
    /// How often it was put off.
    pub delays: u32,
    /// What came of it, for people.
    pub note: String,
    /// What is to be made of it, written down before it is made; null until then.
    pub runs: serde_json::Value,
}

/// Webhooks that came. A delivery is there once, however often it comes; it is on disk before its receipt resolves.
pub trait Inbox: Send + Sync {
    /// Queues it for writing.
    fn put(&self, new: NewDelivery) -> Receipt;

    /// Deliveries that are to be worked on now, oldest first; those of the repositories `but` have to wait.
    fn due(&self, now: Timestamp, but: &[String], limit: usize) -> Result<Vec<Delivery>, StoreError>;

    /// Counts a try, down to the disk, before it is made; gives the count.
    fn begin(&self, seq: u64) -> Result<u32, StoreError>;

    /// Writes down what is about to be made of it.
    fn plan(&self, seq: u64, runs: &serde_json::Value) -> Result<(), StoreError>;

    /// Puts it off: the try ended in an orderly way, and is worth another one.
    fn delay(&self, seq: u64, until: Timestamp, note: &str) -> Result<(), StoreError>;

    /// It is over.
    fn settle(&self, seq: u64, state: DeliveryState, note: &str) -> Result<(), StoreError>;

    /// The delivery of a repository by the forge's id.
    fn find(&self, repository: &str, delivery: &str) -> Result<Option<Delivery>, StoreError>;

    /// Removes those that are over and older than `before`; gives how many.
    fn forget(&self, before: Timestamp) -> Result<usize, StoreError>;
}
