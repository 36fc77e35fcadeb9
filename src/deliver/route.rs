//! One weight on one object: read, set, taken back.
//!
//! The object as it was seen last is kept, and each write is made from it. So taking traffic back is one write and no read,
//! unless another hand was quicker.

use std::sync::{Mutex, PoisonError};

use serde_json::Value as Json;

use super::ground::Refused;
use super::hands::{Hands, TRIES};
use super::traffic::{Begin, End, Weighing};
use crate::task::contract::TaskError;

/// A weight on a router's object.
pub struct Route<'a> {
    hands: Hands<'a>,
    weighing: Box<dyn Weighing>,
    seen: Mutex<Option<Json>>,
}

/// What came of setting a weight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// It stands.
    Yes,
    /// Another hand had set this one (none: the canary is no longer named); nothing was written.
    Drift(Option<u32>),
}

impl<'a> Route<'a> {
    /// Over a router.
    pub fn new(hands: Hands<'a>, weighing: Box<dyn Weighing>) -> Self {
        Self { hands, weighing, seen: Mutex::new(None) }
    }

    /// For people: `ingress "shop-canary"`.
    pub fn named(&self) -> String {
        let (kind, name) = self.weighing.object();
        format!("{} \"{name}\"", kind.noun())
    }

    fn keep(&self, object: Option<Json>) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = object;
    }

    fn seen(&self) -> Option<Json> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn read(&self) -> Result<Option<Json>, TaskError> {
        let (kind, name) = self.weighing.object();
        let live = self.hands.get(kind, name).await?;
        self.keep(live.clone());
        Ok(live)
    }

    /// The canary's share as it is now; none when the router does not name the canary.
    pub async fn weight(&self) -> Result<Option<u32>, TaskError> {
        Ok(self.read().await?.and_then(|live| self.weighing.weight(&live)))
    }

    /// Brings the canary in at weight 0. Done when it is there.
    pub async fn begin(&self) -> Result<(), TaskError> {
        if self.weight().await?.is_some() {
            return Ok(());
        }
        let (kind, name) = self.weighing.main();
        let mut last = String::new();
        for _ in 0..TRIES {
            let Some(main) = self.hands.get(kind, name).await? else {
                return Err(self.missing());
            };
            match self.weighing.begin(&main)? {
                Begin::Create(object) => {
                    let made = self.hands.apply(&object).await?;
                    self.keep(Some(made));
                    return Ok(());
                }
                Begin::Patch(patch) => match self.hands.try_patch(kind, name, &main, patch).await {
                    Ok(object) => {
                        self.keep(Some(object));
                        return Ok(());
                    }
                    Err(Refused::Stale(why)) => last = why,
                    Err(Refused::Task(error)) => return Err(error),
                },
            }
        }
        Err(self.contended(&last))
    }

    /// Gives the canary `weight` in one write, if it has `expected` now.
    pub async fn set(&self, expected: u32, weight: u32) -> Result<Moved, TaskError> {
        let (kind, name) = self.weighing.object();
        let mut live = match self.seen() {
            Some(live) => Some(live),
            None => self.read().await?,
        };
        let mut last = String::new();
        for _ in 0..TRIES {
            let Some(object) = live else { return Ok(Moved::Drift(None)) };
            match self.weighing.weight(&object) {
                // An old sight of what was asked for is no proof; a fresh one is.
                Some(found) if found == expected || found == weight => {}
                found => {
                    let fresh = self.weight().await?;
                    if fresh == found {
                        return Ok(Moved::Drift(found));
                    }
                    live = self.seen();
                    continue;
                }
            }
            let patch = self.weighing.set(&object, weight)?;
            match self.hands.try_patch(kind, name, &object, patch).await {
                Ok(object) => {
                    self.keep(Some(object));
                    return Ok(Moved::Yes);
                }
                Err(Refused::Stale(why)) => {
                    last = why;
                    live = self.read().await?;
                }
                Err(Refused::Task(error)) => return Err(error),
            }
        }
        Err(self.contended(&last))
    }

    /// Takes traffic back to `weight` in one write, whatever it is now. At 0 marked requests go back too. Done when the
    /// canary is not named.
    pub async fn back(&self, weight: u32) -> Result<(), TaskError> {
        let (kind, name) = self.weighing.object();
        let mut live = match self.seen() {
            Some(live) => Some(live),
            None => self.read().await?,
        };
        let mut last = String::new();
        for _ in 0..TRIES {
            let Some(object) = live.filter(|object| self.weighing.weight(object).is_some()) else { return Ok(()) };
            let patch = self.weighing.back(&object, weight)?;
            match self.hands.try_patch(kind, name, &object, patch).await {
                Ok(object) => {
                    self.keep(Some(object));
                    return Ok(());
                }
                Err(Refused::Stale(why)) => {
                    last = why;
                    live = self.read().await?;
                }
                Err(Refused::Task(error)) => return Err(error),
            }
        }
        Err(self.contended(&last))
    }

    /// Takes the canary out of the router. Done when it is not there.
    pub async fn end(&self) -> Result<(), TaskError> {
        let (kind, name) = self.weighing.object();
        let mut last = String::new();
        for _ in 0..TRIES {
            let Some(live) = self.read().await? else { return Ok(()) };
            if self.weighing.weight(&live).is_none() {
                return Ok(());
            }
            match self.weighing.end(&live)? {
                End::Delete => {
                    self.hands.delete(kind, name).await?;
                    self.keep(None);
                    return Ok(());
                }
                End::Patch(patch) => match self.hands.try_patch(kind, name, &live, patch).await {
                    Ok(object) => {
                        self.keep(Some(object));
                        return Ok(());
                    }
                    Err(Refused::Stale(why)) => last = why,
                    Err(Refused::Task(error)) => return Err(error),
                },
            }
        }
        Err(self.contended(&last))
    }

    fn missing(&self) -> TaskError {
        let (kind, name) = self.weighing.main();
        TaskError::failed(format!(
            "there is no {} \"{name}\" in namespace \"{}\"; it must be there before the canary, as part of the manifests or beside them",
            kind.noun(),
            self.hands.about.namespace
        ))
    }

    fn contended(&self, last: &str) -> TaskError {
        let (kind, name) = self.weighing.object();
        self.hands.contended(kind, name, last)
    }
}
