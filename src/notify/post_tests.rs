//! Delivery against a real HTTP server in the test's process.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use crate::clock::{Clock, Timestamp};
use crate::forge::contract::{CommitStatus, Forge, ForgeError, Forges, IssueRef, NewIssue, Permission};
use crate::id::RunId;
use crate::store::contract::outbox::{LetterState, Outbox};
use crate::store::memory::MemoryStore;

use super::webhook::signature;
use super::{Address, Card, Courier, Delivered, Notice, Post, Reach};

/// A clock that a test moves.
pub(super) struct Hand(AtomicI64);

impl Hand {
    pub(super) fn at(now: i64) -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(now)))
    }

    fn forward(&self, by: Duration) {
        self.0.fetch_add(i64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// Headers and body of a request that came.
type Came = (HeaderMap, Vec<u8>);
/// Status, header and body of an answer.
type Answer = (u16, &'static str, &'static str);

/// What came in, and what is to be answered; 200 once the answers are used up.
#[derive(Clone, Default)]
pub(super) struct Receiver {
    pub(super) came: Arc<Mutex<Vec<Came>>>,
    pub(super) answers: Arc<Mutex<VecDeque<Answer>>>,
}

impl Receiver {
    /// Listens; gives its URL, which has a secret in it.
    pub(super) async fn listen(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hunter2", listener.local_addr().unwrap());
        let me = self.clone();
        let app = axum::Router::new().fallback(move |headers: HeaderMap, body: Bytes| async move {
            me.came.lock().unwrap().push((headers, body.to_vec()));
            let (status, after, text) = me.answers.lock().unwrap().pop_front().unwrap_or((200, "", "ok"));
            let mut answer = (StatusCode::from_u16(status).unwrap(), text).into_response();
            if !after.is_empty() {
                answer.headers_mut().insert("retry-after", after.parse().unwrap());
            }
            if status == 302 {
                answer.headers_mut().insert("location", "/elsewhere".parse().unwrap());
            }
            answer
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        url
    }

    pub(super) fn bodies(&self) -> Vec<serde_json::Value> {
        self.came.lock().unwrap().iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect()
    }
}

pub(super) fn post_over(store: &MemoryStore, clock: Arc<dyn Clock>, forges: Option<Arc<dyn Forges>>) -> Arc<Post> {
    let courier = Courier::new(Reach::local(), forges);
    Post::new(Arc::new(store.clone()), Arc::new(store.clone()), courier, clock)
}

fn notice(title: &str) -> Notice {
    Notice {
        event: "failure".to_owned(),
        at: Timestamp(1_700_000_000_000),
        card: Card {
            id: "0abc".to_owned(),
            pipeline: "shop".to_owned(),
            repository: "acme/shop".to_owned(),
            ..Card::default()
        },
        stage: None,
        app: None,
        environment: None,
        title: title.to_owned(),
        lines: Vec::new(),
        gate: None,
        command: None,
    }
}

fn webhook(url: &str) -> Address {
    let headers = vec![("X-Team".to_owned(), "web".to_owned()), ("Idempotency-Key".to_owned(), "forged".to_owned())];
    Address::Webhook { url: url.to_owned(), headers, secret: Some("s3cret".to_owned()) }
}

const DONE: Delivered = Delivered { done: 1, failed: 0, later: 0 };
const LATER: Delivered = Delivered { done: 0, failed: 0, later: 1 };
const FAILED: Delivered = Delivered { done: 0, failed: 1, later: 0 };

#[tokio::test]
async fn a_webhook_is_signed_and_carries_its_key() {
    let (receiver, store) = (Receiver::default(), MemoryStore::default());
    let url = receiver.listen().await;
    let post = post_over(&store, Hand::at(1), None);
    assert!(post.put("0abc.1", &notice("it failed"), &webhook(&url)).unwrap());
    assert!(!post.put("0abc.1", &notice("another"), &webhook(&url)).unwrap());
    assert_eq!(post.deliver_due(10).await.unwrap(), DONE);
    assert_eq!(post.deliver_due(10).await.unwrap(), Delivered::default());
    let came = receiver.came.lock().unwrap().clone();
    let [(headers, body)] = came.as_slice() else { panic!("{} came", came.len()) };
    assert_eq!(headers["x-slipway-signature"], signature("s3cret", body));
    assert_eq!(
        ["idempotency-key", "x-slipway-event", "x-team", "content-type"].map(|name| headers[name].to_str().unwrap()),
        ["0abc.1", "failure", "web", "application/json"]
    );
    let json = &receiver.bodies()[0];
    assert_eq!((json["title"].as_str(), json["run"]["repository"].as_str()), (Some("it failed"), Some("acme/shop")));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_what_will_not_is_given_up() {
    let (receiver, store, clock) = (Receiver::default(), MemoryStore::default(), Hand::at(1));
    receiver.answers.lock().unwrap().extend([(503, "", "down"), (429, "120", ""), (404, "", "no_service")]);
    let url = receiver.listen().await;
    let post = post_over(&store, clock.clone(), None);
    post.put("k", &notice("n"), &Address::Slack { url: url.clone() }).unwrap();
    let letter = || store.letter("k").unwrap().unwrap();
    assert_eq!(post.deliver_due(10).await.unwrap(), LATER);
    assert_eq!(letter().reason, "it answered 503 (down)");
    assert_eq!(post.deliver_due(10).await.unwrap(), Delivered::default(), "it is not due yet");
    clock.forward(Duration::from_secs(2));
    assert_eq!(post.deliver_due(10).await.unwrap(), LATER);
    clock.forward(Duration::from_secs(119));
    assert_eq!(post.deliver_due(10).await.unwrap(), Delivered::default(), "it asked for two minutes");
    clock.forward(Duration::from_secs(2));
    assert_eq!(post.deliver_due(10).await.unwrap(), FAILED);
    assert_eq!((letter().state, letter().reason.as_str()), (LetterState::Failed, "it answered 404 (no_service)"));
    assert_eq!(receiver.came.lock().unwrap().len(), 3);
}

#[tokio::test]
async fn a_receiver_that_is_down_for_a_day_is_given_up() {
    let (store, clock) = (MemoryStore::default(), Hand::at(1));
    let post = post_over(&store, clock.clone(), None);
    // Nobody listens there.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hunter2", listener.local_addr().unwrap());
    drop(listener);
    post.put("k", &notice("n"), &webhook(&url)).unwrap();
    let mut tries = 0;
    while store.letter("k").unwrap().unwrap().state == LetterState::Waiting {
        let delivered = post.deliver_due(1).await.unwrap();
        tries += delivered.later + delivered.failed;
        clock.forward(Duration::from_secs(600));
    }
    let letter = store.letter("k").unwrap().unwrap();
    assert_eq!(letter.state, LetterState::Failed);
    assert!((24..100).contains(&tries), "{tries} tries");
    assert!(letter.reason.ends_with("for a day") && !letter.reason.contains("hunter2"), "{}", letter.reason);
}

#[tokio::test]
async fn addresses_are_secrets_and_redirects_lead_nowhere() {
    let (receiver, store) = (Receiver::default(), MemoryStore::default());
    receiver.answers.lock().unwrap().push_back((302, "", ""));
    let url = receiver.listen().await;
    let post = post_over(&store, Hand::at(1), None);
    post.put("k", &notice("n"), &webhook(&url)).unwrap();
    assert_eq!(post.deliver_due(10).await.unwrap(), FAILED);
    assert_eq!(receiver.came.lock().unwrap().len(), 1, "it was not followed");
    let letter = store.letter("k").unwrap().unwrap();
    assert_eq!((letter.about.as_str(), letter.payload.0.as_str()), ("\"failure\" by webhook", ""));
    assert!(!format!("{letter:?} {:?}", webhook(&url)).contains("hunter2"));
    let courier = Courier::new(Reach::public(), None);
    for url in [url.as_str(), "http://169.254.169.254/latest", "file:///etc/passwd", "http://localhost:1"] {
        let why = courier.carry("k", &notice("n"), &webhook(url), Timestamp(1)).await.unwrap_err();
        assert!(matches!(why, super::Undelivered::Never(_)), "{url}: {why}");
        assert!(!why.to_string().contains("hunter2"), "{why}");
    }
    assert_eq!(receiver.came.lock().unwrap().len(), 1, "a server does not call its own machine");
}

/// A forge that makes issues, after one failure.
#[derive(Default)]
struct FakeForge {
    issues: Mutex<Vec<NewIssue>>,
    calls: Mutex<usize>,
}

#[async_trait::async_trait]
impl Forge for Arc<FakeForge> {
    async fn status(&self, _status: &CommitStatus) -> Result<(), ForgeError> {
        Err(ForgeError::Refused("no statuses here".to_owned()))
    }

    async fn create_issue(&self, issue: &NewIssue) -> Result<IssueRef, ForgeError> {
        *self.calls.lock().unwrap() += 1;
        if *self.calls.lock().unwrap() == 1 {
            return Err(ForgeError::Limited { message: "too many".to_owned(), after: Duration::from_secs(60) });
        }
        self.issues.lock().unwrap().push(issue.clone());
        Ok(IssueRef { number: 1, url: String::new() })
    }

    async fn permission(&self, _user: &str) -> Result<Permission, ForgeError> {
        Ok(Permission::None)
    }
}

struct OneForge(Arc<FakeForge>);

impl Forges for OneForge {
    fn forge(&self, repository: &str) -> Option<Arc<dyn Forge>> {
        (repository == "acme/shop").then(|| Arc::new(Arc::clone(&self.0)) as Arc<dyn Forge>)
    }
}

#[tokio::test]
async fn issues_are_made_at_the_forge_of_the_repository() {
    let (store, clock, forge) = (MemoryStore::default(), Hand::at(1), Arc::new(FakeForge::default()));
    let post = post_over(&store, clock.clone(), Some(Arc::new(OneForge(Arc::clone(&forge)))));
    let to = |repository: &str| Address::Issue { repository: repository.to_owned(), labels: vec!["x".to_owned()] };
    post.put("0abc.1/a", &notice("a\nb @ann"), &to("acme/shop")).unwrap();
    post.put("other", &notice("n"), &to("acme/other")).unwrap();
    post.put("none", &notice("n"), &to("")).unwrap();
    assert_eq!(post.deliver_due(10).await.unwrap(), Delivered { done: 0, failed: 2, later: 1 });
    assert!(store.letter("other").unwrap().unwrap().reason.contains("\"acme/other\""));
    clock.forward(Duration::from_secs(61));
    assert_eq!(post.deliver_due(10).await.unwrap(), DONE);
    let issues = forge.issues.lock().unwrap();
    assert_eq!((issues[0].title.as_str(), issues[0].marker.as_str()), ("a b @ann", "0abc.1-a"));
}

#[tokio::test]
async fn the_worker_sends_at_once_and_finish_waits_for_what_is_due_soon() {
    let (receiver, store) = (Receiver::default(), MemoryStore::default());
    let url = receiver.listen().await;
    let post = post_over(&store, Arc::new(crate::clock::SystemClock), None);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let worker = tokio::spawn({
        let post = Arc::clone(&post);
        async move { post.work(stopped).await }
    });
    post.put("a", &notice("n"), &webhook(&url)).unwrap();
    while store.letter("a").unwrap().unwrap().state == LetterState::Waiting {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    stop.send_replace(true);
    worker.await.unwrap();
    receiver.answers.lock().unwrap().extend([(500, "", ""), (503, "3600", "")]);
    post.put("b", &notice("n"), &webhook(&url)).unwrap();
    post.put("c", &notice("n"), &webhook(&url)).unwrap();
    let began = crate::clock::instant();
    let left = post.finish(&RunId::from("0abc"), Duration::from_secs(30)).await.unwrap();
    assert_eq!(left.len(), 1, "one asked for an hour, the other is tried again");
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for what is due in an hour");
    assert_eq!(receiver.came.lock().unwrap().len(), 4);
}
