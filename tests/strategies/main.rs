//! Blue-green and canary at the level of their tasks, on a real cluster, under load: `cargo test --test strategies -- --ignored`.
//! `scripts/testground` makes the ground. Each test has a namespace of its own, which goes with it.
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

mod field;
#[path = "../delivery/support/load.rs"]
#[expect(dead_code, reason = "shared with the tests of whole deliveries, which use more of it")]
mod load;

use std::time::Duration;

use field::{Field, Means};
use load::{Answers, Load, Shape};
use slipway::deliver::ground::{Ground, What};
use slipway::deliver::outcome::Outcome;
use slipway::deliver::{blue_green, canary};
use slipway::stage::deploy::{BlueGreen, Canary, CanaryReplicas, HeaderRule, Keep, Marked, Step, SwitchBy, Traffic};
use slipway::task::contract::TaskError;
use slipway::task::testing::TestCtx;

const SHAPE: Shape = Shape { kept: 4, fresh: 2, rate: 120.0 };

fn blue_green(by: SwitchBy) -> BlueGreen {
    BlueGreen { by, colours: ("blue".to_owned(), "green".to_owned()), keep: Keep::For(Duration::from_secs(600)) }
}

fn by(means: Means) -> SwitchBy {
    match means {
        Means::Service => SwitchBy::Service("backend-service".to_owned()),
        Means::Ingress => SwitchBy::Ingress("shop".to_owned()),
        Means::Route => SwitchBy::Route("shop".to_owned()),
    }
}

fn canary(means: Means, weights: &[u32]) -> Canary {
    let header = Some(HeaderRule { name: "X-Canary".to_owned(), value: Some("true".to_owned()) });
    let traffic = match means {
        Means::Service => Traffic::None,
        Means::Ingress => Traffic::Nginx { ingress: "shop".to_owned(), marked: Marked { header, cookie: None } },
        Means::Route => Traffic::Gateway { route: "shop".to_owned(), header },
    };
    let step = |weight: &u32| Step { weight: *weight, watch: None, on_fail: 0, pause: false };
    Canary { traffic, replicas: CanaryReplicas::ByWeight, steps: weights.iter().map(step).collect() }
}

async fn switch(field: &Field, ctx: &TestCtx, settings: &BlueGreen) -> Result<Outcome, TaskError> {
    blue_green::run(field.hands(ctx), settings).await
}

async fn weigh(field: &Field, ctx: &TestCtx, settings: &Canary) -> Result<Outcome, TaskError> {
    canary::run(field.hands(ctx), settings).await
}

fn context() -> TestCtx {
    TestCtx::new(std::env::temp_dir(), std::env::temp_dir())
}

/// Ends the load beside the runtime: its threads wait for their last answers.
async fn ended(load: Load) -> Answers {
    tokio::task::spawn_blocking(move || load.end()).await.unwrap()
}

async fn begun(field: &Field) -> Load {
    let address = field.address();
    tokio::task::spawn_blocking(move || Load::begin(&address, SHAPE)).await.unwrap()
}

/// Two releases: from no track to blue, from blue to green; by each router, without a loss.
#[tokio::test]
#[ignore = "needs a cluster (scripts/testground)"]
async fn colours_take_turns_without_a_loss() {
    for means in [Means::Service, Means::Ingress, Means::Route] {
        let mut field = Field::new(means, "v1", 2).await;
        let load = begun(&field).await;
        for (image, colour) in [("v2", "blue"), ("v3", "green")] {
            field.image = image.to_owned();
            let outcome = switch(&field, &context(), &blue_green(by(means))).await.unwrap();
            assert_eq!(outcome, Outcome::Deployed, "{means:?}");
            let service = field.get(What::Service, "backend-service").await.unwrap().unwrap();
            assert_eq!(service["spec"]["selector"]["slipway.dev/track"], colour, "{means:?}");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answers = ended(load).await;
        assert_eq!(answers.lost().len(), 0, "{means:?}: {}", answers.tell());
        assert_eq!(answers.0.last().and_then(|answer| answer.version()), Some("v3"), "{means:?}");
        field.remove().await;
    }
}

/// T-BG-05: errors after the switch.
#[tokio::test]
#[ignore = "needs a cluster (scripts/testground)"]
async fn errors_after_the_switch_bring_the_old_colour_back() {
    for means in [Means::Service, Means::Ingress] {
        let mut field = Field::new(means, "v1", 2).await;
        let load = begun(&field).await;
        field.image = "dead".to_owned();
        field.about.watch = Duration::from_secs(30);
        let outcome = switch(&field, &context(), &blue_green(by(means))).await.unwrap();
        let Outcome::Back(reason) = outcome else { panic!("{means:?}: {outcome:?}") };
        assert!(reason.text.starts_with("errors"), "{means:?}: {}", reason.text);
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answers = ended(load).await;
        let span = answers.span("dead").unwrap();
        println!("{means:?}: the bad colour answered for {span:?}");
        assert!(span < Duration::from_secs(5), "{means:?}: {span:?}");
        assert_eq!(answers.0.last().and_then(|answer| answer.version()), Some("v1"), "{means:?}");
        assert!(answers.lost().iter().all(|answer| answer.version() == Some("dead")), "{}", answers.tell());
        field.remove().await;
    }
}

/// T-BG-04: what fails before the switch.
#[tokio::test]
#[ignore = "needs a cluster (scripts/testground)"]
async fn a_colour_that_never_gets_ready_gets_no_request() {
    let mut field = Field::new(Means::Ingress, "v1", 2).await;
    let load = begun(&field).await;
    field.image = "unready".to_owned();
    field.patience = Duration::from_secs(5);
    let outcome = switch(&field, &context(), &blue_green(by(Means::Ingress))).await.unwrap();
    assert!(matches!(outcome, Outcome::Back(_)), "{outcome:?}");
    let answers = ended(load).await;
    assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
    assert_eq!(answers.by_version().into_keys().collect::<Vec<_>>(), ["v1"]);
    let new = field.get(What::Deployment, "backend-blue").await.unwrap().unwrap();
    assert_eq!(new["spec"]["replicas"], 0);
    field.remove().await;
}

/// T-CAN-01: shares as asked, promoted, nothing left, nothing lost. T-CAN-08: marked requests.
#[tokio::test]
#[ignore = "needs a cluster (scripts/testground)"]
async fn a_good_canary_is_promoted_without_a_loss() {
    for means in [Means::Ingress, Means::Route, Means::Service] {
        let mut field = Field::new(means, "v1", 2).await;
        let load = begun(&field).await;
        field.image = "v2".to_owned();
        let mut settings = canary(means, &[25, 50, 100]);
        settings.steps[1].watch = Some(Duration::from_secs(3));
        let outcome = weigh(&field, &context(), &settings).await.unwrap();
        assert_eq!(outcome, Outcome::Deployed, "{means:?}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answers = ended(load).await;
        println!("{means:?}: {}", answers.tell());
        assert_eq!(answers.lost().len(), 0, "{means:?}: {}", answers.tell());
        assert_eq!(answers.0.last().and_then(|answer| answer.version()), Some("v2"), "{means:?}");
        assert_eq!(field.get(What::Deployment, "backend-canary").await.unwrap(), None, "{means:?}");
        let service = field.get(What::Service, "backend-service").await.unwrap().unwrap();
        assert_eq!(service["spec"]["selector"], serde_json::json!({"app": "backend"}), "{means:?}");
        field.remove().await;
    }
}

/// T-CAN-03 at the level of the task: first to last answer of a dead canary.
#[tokio::test]
#[ignore = "needs a cluster (scripts/testground)"]
async fn a_dead_canary_loses_its_traffic_at_once() {
    for means in [Means::Ingress, Means::Route, Means::Service] {
        let mut field = Field::new(means, "v1", 2).await;
        let load = begun(&field).await;
        field.image = "dead".to_owned();
        field.about.watch = Duration::from_secs(30);
        let outcome = weigh(&field, &context(), &canary(means, &[25, 50, 100])).await.unwrap();
        assert!(matches!(outcome, Outcome::Back(_)), "{means:?}: {outcome:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let answers = ended(load).await;
        let span = answers.span("dead").unwrap();
        println!("{means:?}: the dead canary answered for {span:?}");
        // Without a router pods go, and what keeps a connection to one is served until it ends.
        let most = Duration::from_secs(if means == Means::Service { 12 } else { 4 });
        assert!(span < most, "{means:?}: {span:?}");
        assert!(answers.lost().iter().all(|answer| answer.version() == Some("dead")), "{}", answers.tell());
        assert_eq!(field.get(What::Deployment, "backend-canary").await.unwrap(), None, "{means:?}");
        field.remove().await;
    }
}

/// T-CAN-07: the canary is proven, and the stable side does not come up with it.
#[tokio::test]
#[ignore = "needs a cluster (scripts/testground)"]
async fn a_promotion_that_fails_loses_nothing() {
    let mut field = Field::new(Means::Ingress, "v1", 2).await;
    let load = begun(&field).await;
    field.image = "v2".to_owned();
    field.stable_image = Some("unready".to_owned());
    field.patience = Duration::from_secs(5);
    let outcome = weigh(&field, &context(), &canary(Means::Ingress, &[50, 100])).await.unwrap();
    let Outcome::Back(reason) = outcome else { panic!("{outcome:?}") };
    assert!(reason.text.contains("does not come up with the new version"), "{}", reason.text);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answers = ended(load).await;
    assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
    assert_eq!(answers.0.last().and_then(|answer| answer.version()), Some("v1"));
    field.remove().await;
}

/// T-CRASH: a new process after every fifth record; the in-memory tests do each one.
#[tokio::test]
#[ignore = "needs a cluster (scripts/testground)"]
async fn crashes_lose_nothing_and_change_nothing_of_the_end() {
    for is_canary in [true, false] {
        let mut field = Field::new(Means::Ingress, "v1", 2).await;
        let load = begun(&field).await;
        field.image = "v2".to_owned();
        let mut ctx = context();
        let mut crashes = 0;
        loop {
            ctx.crash_at = Some((ctx.journal.lock().unwrap().records + 5, crashes % 2 == 0));
            let ended = match is_canary {
                true => weigh(&field, &ctx, &canary(Means::Ingress, &[50, 100])).await,
                false => switch(&field, &ctx, &blue_green(by(Means::Ingress))).await,
            };
            match ended {
                Err(TaskError::Gone(_)) => crashes += 1,
                other => {
                    assert_eq!(other.unwrap(), Outcome::Deployed);
                    break;
                }
            }
            ctx = ctx.again();
        }
        assert!(crashes >= 3, "{crashes} crashes");
        tokio::time::sleep(Duration::from_secs(1)).await;
        let answers = ended(load).await;
        assert_eq!(answers.lost().len(), 0, "{}", answers.tell());
        assert_eq!(answers.0.last().and_then(|answer| answer.version()), Some("v2"));
        field.remove().await;
    }
}
