//! Takes deliveries out of the inbox: several repositories at once, each repository's in order.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use crate::clock::{Clock, SystemClock, Timestamp};
use crate::store::inbox::{Delivery, DeliveryState};

use super::app::App;
use super::intake::{Ended, Intake};

/// Deliveries that are worked on at once.
const AT_ONCE: usize = 4;
/// A delivery over which the work broke off so often is put aside.
const MAX_PANICS: u32 = 3;
/// The same for one during which the server ended. That may have had other causes, so it is given more tries.
const MAX_TRIES: u32 = 10;
/// A delivery is put off so often; with waits that double, for about a day.
const MAX_DELAYS: u32 = 12;
/// The first wait and the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const LONGEST_WAIT: Duration = Duration::from_secs(4 * 3600);
/// How often the inbox is looked at, when nobody says that something came.
const LOOK: Duration = Duration::from_millis(500);
/// Deliveries are remembered so long: forges send one again for three days at most.
const REMEMBER: Duration = Duration::from_secs(30 * 24 * 3600);

/// Works until `stop` is true, then ends what it began.
pub async fn work(app: Arc<App>, intake: Arc<Intake>, mut stop: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let busy: Arc<Mutex<Vec<String>>> = Arc::default();
    let before = SystemClock.now().0 - i64::try_from(REMEMBER.as_millis()).unwrap_or(i64::MAX);
    let _ = app.inbox.forget(Timestamp(before));
    while !*stop.borrow() {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { break };
        let others = busy.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // The loop serves webhooks too: it must not wait for a database.
        let asked = Arc::clone(&app);
        let due = tokio::task::spawn_blocking(move || asked.inbox.due(SystemClock.now(), &others, 1)).await;
        let next = match due {
            Ok(Ok(due)) => due.into_iter().next(),
            Ok(Err(error)) => {
                app.say(&format!("the inbox cannot be read: {error}"));
                None
            }
            Err(_) => None,
        };
        let Some(delivery) = next else {
            drop(place);
            tokio::select! {
                () = app.fresh.notified() => {}
                () = tokio::time::sleep(LOOK) => {}
                _ = stop.changed() => {}
            }
            continue;
        };
        let name = delivery.new.repository.clone();
        busy.lock().unwrap_or_else(PoisonError::into_inner).push(name.clone());
        let (app, intake, busy) = (Arc::clone(&app), Arc::clone(&intake), Arc::clone(&busy));
        let handle = tokio::runtime::Handle::current();
        tokio::task::spawn_blocking(move || {
            one(&app, &intake, &delivery, &handle);
            busy.lock().unwrap_or_else(PoisonError::into_inner).retain(|other| *other != name);
            app.fresh.notify_one();
            drop(place);
        });
    }
    let all = u32::try_from(AT_ONCE).unwrap_or(u32::MAX);
    let _ = places.acquire_many(all).await;
}

fn one(app: &App, intake: &Intake, delivery: &Delivery, handle: &tokio::runtime::Handle) {
    let seq = delivery.seq;
    let tries = match app.inbox.begin(seq) {
        Ok(tries) => tries,
        Err(error) => return app.say(&format!("delivery {seq} cannot be begun: {error}")),
    };
    let ended = if tries > MAX_TRIES {
        Ended::Bad(format!("the server ended {MAX_TRIES} times while it worked on it"))
    } else {
        // A reader that panics must not take the others' deliveries with it; the try is counted.
        match catch_unwind(AssertUnwindSafe(|| intake.work(delivery, handle))) {
            Ok(ended) => ended,
            Err(_) if tries >= MAX_PANICS => Ended::Bad(format!("the work on it broke off {tries} times")),
            Err(_) => return app.say(&format!("the work on delivery {seq} broke off; it is tried again")),
        }
    };
    let what = format!("delivery {seq} of \"{}\"", delivery.new.repository);
    let settled = match ended {
        Ended::Done(note) => {
            app.say(&format!("{what}: {note}"));
            app.inbox.settle(seq, DeliveryState::Done, &note)
        }
        Ended::Bad(why) => {
            app.say(&format!("{what} is put aside: {why}"));
            app.inbox.settle(seq, DeliveryState::Quarantined, &why)
        }
        Ended::Later(why) if delivery.delays >= MAX_DELAYS => {
            app.say(&format!("{what} is given up: {why}"));
            app.inbox.settle(seq, DeliveryState::Quarantined, &why)
        }
        Ended::Later(why) => {
            let wait = FIRST_WAIT.saturating_mul(1 << delivery.delays.min(16)).min(LONGEST_WAIT);
            app.say(&format!("{what} is tried again in {} s: {why}", wait.as_secs()));
            let due = SystemClock.now().0 + i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
            app.inbox.delay(seq, Timestamp(due), &why)
        }
    };
    if let Err(error) = settled {
        app.say(&format!("{what} cannot be settled: {error}"));
    }
}
