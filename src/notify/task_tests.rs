//! The task of `notify` stages, with crashes beside every record.

use std::sync::Arc;

use serde_json::json;

use crate::clock::SystemClock;
use crate::id::{JobId, RunId, StageId, StepKey};
use crate::secret::Secret;
use crate::stage::{Channel, Incident, Notify, TaskKind, Typed};
use crate::store::memory::MemoryStore;
use crate::task::contract::{Before, Task, TaskError, TaskSpec};
use crate::task::testing::TestCtx;

use super::post_tests::{Receiver, post_over};
use super::{MailDefaults, NotifyTask};

fn spec(channels: Vec<Channel>, message: Option<&str>) -> TaskSpec {
    TaskSpec {
        typed: Typed::Notify(Notify { channels, message: message.map(str::to_owned) }),
        environment: None,
        incident: Incident::default(),
        before: Vec::new(),
    }
}

fn slack(url: &str) -> Channel {
    Channel::Slack { url: Secret::new(url) }
}

fn context(attempt: u32) -> TestCtx {
    let temp = std::env::temp_dir();
    let mut ctx = TestCtx::new(temp.clone(), temp);
    ctx.identity.run = Some(RunId::from("0abc"));
    ctx.identity.step = Some(StepKey { job: JobId::from("tell"), attempt, step: 0 });
    ctx.identity.stage = "tell".to_owned();
    ctx.identity.pipeline = "shop".to_owned();
    ctx.secrets = vec![("S".to_owned(), "hunter2".to_owned())];
    ctx
}

#[tokio::test]
async fn a_message_is_sent_once_wherever_the_process_dies() {
    for (at, after) in [(1, false), (1, true), (2, false), (2, true), (3, false), (3, true), (9, false)] {
        let (receiver, store) = (Receiver::default(), MemoryStore::default());
        let url = receiver.listen().await;
        let spec = spec(vec![slack(&url), slack(&url)], Some("released\nto all hunter2"));
        let task = || NotifyTask::new(Some(post_over(&store, Arc::new(SystemClock), None)), MailDefaults::default());
        let mut ctx = context(1);
        ctx.crash_at = Some((at, after));
        let first = task().run(&spec, &ctx).await;
        assert_eq!(matches!(first, Err(TaskError::Gone(_))), at < 9, "{at} {after}: {first:?}");
        let again = ctx.again();
        task().run(&spec, &again).await.unwrap();
        let bodies = receiver.bodies();
        assert_eq!(bodies.len(), 2, "crashed at {at} {after}");
        assert_eq!(bodies[0]["text"], "released");
        assert!(!bodies[0].to_string().contains("hunter2"), "masked");
        assert!(again.log_text().contains("sent by slack"), "{}", again.log_text());
        assert!(!again.log_text().contains(&url));
    }
}

#[tokio::test]
async fn what_cannot_be_sent_fails_the_stage_and_a_later_attempt_sends_only_that() {
    let (receiver, store) = (Receiver::default(), MemoryStore::default());
    let url = receiver.listen().await;
    receiver.answers.lock().unwrap().extend([(404, "", "no_service")]);
    let spec = spec(vec![slack(&url), slack(&url)], None);
    let task = NotifyTask::new(Some(post_over(&store, Arc::new(SystemClock), None)), MailDefaults::default());
    let error = task.run(&spec, &context(1)).await.unwrap_err().to_string();
    assert_eq!(error, "failed to send the message by slack: it answered 404 (no_service)");
    task.run(&spec, &context(2)).await.unwrap();
    assert_eq!(receiver.came.lock().unwrap().len(), 3, "one was there already");
}

#[tokio::test]
async fn a_stage_goes_on_while_the_receiver_is_down() {
    let (receiver, store) = (Receiver::default(), MemoryStore::default());
    let url = receiver.listen().await;
    receiver.answers.lock().unwrap().extend([(503, "3600", "")]);
    let task = NotifyTask::new(Some(post_over(&store, Arc::new(SystemClock), None)), MailDefaults::default());
    let ctx = context(1);
    task.run(&spec(vec![slack(&url)], None), &ctx).await.unwrap();
    assert!(ctx.log_text().starts_with("not sent by slack yet: it answered 503;"), "{}", ctx.log_text());
}

#[tokio::test]
async fn mail_without_a_server_and_runs_of_outsiders_are_refused() {
    let store = MemoryStore::default();
    let mail = Channel::Email { to: vec!["a@example.com".to_owned()], smtp: None, from: None };
    let spec = spec(vec![mail], None);
    let post = post_over(&store, Arc::new(SystemClock), None);
    let task = NotifyTask::new(Some(post), MailDefaults::default());
    let error = task.run(&spec, &context(1)).await.unwrap_err().to_string();
    assert_eq!(error, "failed to send a message by email: there is no mail server: set \"smtp\", or SLIPWAY_SMTP");
    let preview = task.preview(&spec, &context(1)).await.unwrap();
    assert_eq!(preview.refused.len(), 1);
    let mut ctx = context(1);
    ctx.env = vec![
        ("SLIPWAY_SMTP".to_owned(), "smtp://u:hunter2@localhost".to_owned()),
        ("SLIPWAY_MAIL_FROM".to_owned(), "ci@example.com".to_owned()),
    ];
    let preview = task.preview(&spec, &ctx).await.unwrap();
    assert_eq!(
        (preview.refused.len(), preview.text()),
        (0, vec!["send a message by email to a@example.com".to_owned()])
    );
    ctx.identity.untrusted = true;
    assert!(task.run(&spec, &ctx).await.unwrap_err().to_string().contains("outsiders"));
}

#[tokio::test]
async fn without_a_message_the_deploys_before_are_told() {
    let (receiver, store) = (Receiver::default(), MemoryStore::default());
    let url = receiver.listen().await;
    let mut spec = spec(vec![slack(&url)], None);
    spec.before.push(Before {
        stage: StageId::from("production"),
        kind: TaskKind::Deploy,
        direct: true,
        facts: json!({"app": "backend", "environment": "production", "namespace": "p", "strategy": "canary", "release": 3,
            "previous": 2, "images": [["app", "reg/app@sha256:1"]], "result": "deployed"}),
    });
    let task = NotifyTask::new(Some(post_over(&store, Arc::new(SystemClock), None)), MailDefaults::default());
    task.run(&spec, &context(1)).await.unwrap();
    let body = &receiver.bodies()[0];
    assert_eq!(body["text"], "shop: message of stage \"tell\"");
    assert_eq!(
        body["blocks"][1]["text"]["text"],
        "```backend in production: deployed by canary; app reg/app@sha256:1```"
    );
}
