//! Notices: who is told of what, and how it gets there.
//!
//! ```text
//!  records ──RuleSink──▶ Notice ──▶ outbox ──Post──▶ Courier ──▶ slack, email, issue, webhook
//!            (Story)                  ▲
//!  `notify:` stage ──NotifyTask───────┘
//! ```
//!
//! A [`Story`] makes the same notices of the same records, and the outbox takes each once, so a run that is taken up after a
//! crash can replay all its records: nothing is lost or said twice. What could not be delivered while the run went on is
//! delivered by the next command, or by the server.

mod address;
mod card;
mod courier;
mod email;
mod http;
pub mod incident;
mod issue;
mod notice;
mod post;
mod reach;
mod rule_sink;
mod slack;
mod story;
mod task;
mod webhook;
mod words;

#[cfg(test)]
mod post_tests;
#[cfg(test)]
mod story_tests;
#[cfg(test)]
mod task_tests;

pub use address::{Address, MailDefaults};
pub use card::Card;
pub use courier::{Courier, Undelivered};
pub use notice::Notice;
pub use post::{Delivered, Post};
pub use reach::Reach;
pub use rule_sink::{RuleSink, catch_up};
pub use story::Story;
pub use task::NotifyTask;
