//! A file's rules at work: a sink that hears the run's records and puts notices into the outbox.
//!
//! The rules themselves, with the addresses that they came to, lie in the outbox as a letter of their own from the first record to
//! the last notice. A process that dies between the run's last record and its notices leaves that letter, and [`catch_up`] puts
//! what is missing.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::event::Record;
use crate::id::RunId;
use crate::sink::Sink;
use crate::stage::{NoticeEvent, NotifyRule};
use crate::store::contract::outbox::NewLetter;
use crate::store::contract::{Store, StoreError};

use super::address::{Address, MailDefaults};
use super::card::Card;
use super::notice::Notice;
use super::post::Post;
use super::story::Story;

/// The kind of letters that are rules of runs under way.
const RULES: &str = "rules";

/// How long a look at another run's rules keeps others from looking, and the pause until the next look.
const PAUSE: Duration = Duration::from_secs(60);

/// Rules whose runs are looked at in one go.
const LOOKED_AT: usize = 64;

/// A rule with its addresses.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Told {
    addresses: Vec<Address>,
    events: Vec<NoticeEvent>,
}

/// What is kept until the run's last notice.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    card: Card,
    rules: Vec<Told>,
}

/// Tells of a run by its rules.
pub struct RuleSink {
    kept: Kept,
    story: Story,
    post: Arc<Post>,
    problems: Arc<Mutex<Vec<String>>>,
}

impl RuleSink {
    /// For the run that `card` describes; nothing to do without rules. The rules are kept from here on.
    pub fn new(
        card: Card,
        rules: &[NotifyRule],
        mail: &MailDefaults,
        post: Arc<Post>,
    ) -> Result<Option<Self>, StoreError> {
        let told = |rule: &NotifyRule| Told {
            addresses: rule.channels.iter().map(|channel| Address::of(channel, &card.repository, mail)).collect(),
            events: rule.events.clone(),
        };
        let rules: Vec<Told> = rules.iter().map(told).filter(|rule| !rule.addresses.is_empty()).collect();
        if rules.is_empty() {
            return Ok(None);
        }
        let kept = Kept { card, rules };
        let json = serde_json::to_vec(&kept).map_err(|e| StoreError::failed("keep the rules of notices", e))?;
        let letter = NewLetter {
            key: key_of(&kept.card.id),
            kind: RULES.to_owned(),
            run: Some(RunId::from(kept.card.id.as_str())),
            topic: String::new(),
            about: "rules of notices".to_owned(),
            payload: post.sealer().seal(&json),
        };
        post.outbox().put(&letter, post.clock().now())?;
        Ok(Some(Self { story: Story::new(kept.card.clone()), kept, post, problems: Arc::default() }))
    }

    /// What cannot be sent as things stand, for a warning before the run: a rule without a mail server.
    pub fn warnings(&self) -> Vec<String> {
        let addresses = self.kept.rules.iter().flat_map(|rule| &rule.addresses);
        addresses.filter_map(|address| Some(format!("notify by {}: {}", address.shown(), address.lacks()?))).collect()
    }

    /// What could not be put into the outbox, once the run is over.
    pub fn problems(&self) -> Arc<Mutex<Vec<String>>> {
        Arc::clone(&self.problems)
    }

    fn tell(&mut self, seq: u64, told: Vec<(NoticeEvent, Notice)>) {
        for (event, notice) in told {
            if let Err(error) = put(&self.post, &self.kept.rules, seq, event, &notice) {
                self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
            }
        }
        if self.story.is_over()
            && let Err(error) = self.post.outbox().done(&key_of(&self.kept.card.id))
        {
            self.problems.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
        }
    }
}

impl Sink for RuleSink {
    fn record(&mut self, record: &Record) {
        let told = self.story.hear(record);
        self.tell(record.seq, told);
    }
}

/// Puts what is missing of runs that are over and whose process died before it had told of it.
pub fn catch_up(store: &dyn Store, post: &Post) -> Result<(), StoreError> {
    let now = post.clock().now();
    for letter in post.outbox().claim(RULES, now, PAUSE, LOOKED_AT)? {
        let Some(run) = &letter.run else { continue };
        let opened =
            post.sealer().open(&letter.payload).ok().and_then(|json| serde_json::from_slice::<Kept>(&json).ok());
        let row = match store.load(run) {
            Ok(stored) => stored.row,
            Err(StoreError::NotFound(_)) => {
                post.outbox().done(&letter.key)?;
                continue;
            }
            Err(error) => return Err(error),
        };
        let (Some(outcome), Some(kept)) = (row.outcome, opened) else {
            let due = Timestamp(now.0.saturating_add(PAUSE.as_millis() as i64));
            post.outbox().retry(&letter.key, due, "the run is under way")?;
            continue;
        };
        let mut story = Story::new(kept.card.clone());
        let mut last = 0;
        for record in store.records(run, 0)? {
            last = record.seq;
            for (event, notice) in story.hear(&record) {
                put(post, &kept.rules, last, event, &notice)?;
            }
        }
        if !story.is_over() {
            let (event, notice) = story.ended(row.finished.unwrap_or(now), outcome);
            put(post, &kept.rules, last + 1, event, &notice)?;
        }
        post.outbox().done(&letter.key)?;
    }
    Ok(())
}

/// One letter for each address of each rule that wants the event.
fn put(post: &Post, rules: &[Told], seq: u64, event: NoticeEvent, notice: &Notice) -> Result<(), StoreError> {
    for (at, rule) in rules.iter().enumerate().filter(|(_, rule)| rule.events.contains(&event)) {
        for (place, address) in rule.addresses.iter().enumerate() {
            let key = format!("{}.{seq}.{}.{at}.{place}", notice.card.id, event.name());
            post.put(&key, notice, address)?;
        }
    }
    Ok(())
}

fn key_of(run: &str) -> String {
    format!("{run}.rules")
}
