//! Blue-green and canary over a cluster in memory, with a crash before and after each record.

use std::collections::VecDeque;
use std::sync::Mutex;

use serde_json::{Value as Json, json};

use super::fake::{Fails, Fake, autoscaler, deployment, ingress, service};
use super::ground::What;
use super::hands::{About, Hands};
use super::outcome::Outcome;
use super::traffic::service::TRACK;
use super::{blue_green, canary};
use crate::stage::deploy::{BlueGreen, Canary, CanaryReplicas, Keep, Marked, OnDrift, Step, SwitchBy, Traffic};
use crate::task::contract::{DeployOrder, TaskError};
use crate::task::testing::TestCtx;

fn about() -> About {
    About {
        app: "backend".to_owned(),
        environment: "production".to_owned(),
        namespace: "shop".to_owned(),
        service: "backend-service".to_owned(),
        drain: Some(std::time::Duration::ZERO),
        max_gap: std::time::Duration::from_secs(60),
        ..About::default()
    }
}

enum Strategy {
    Canary(Canary),
    BlueGreen(BlueGreen),
}

impl Strategy {
    async fn run(&self, fake: &Fake, ctx: &TestCtx, about: &About) -> Result<Outcome, TaskError> {
        let hands = Hands { ground: fake, ctx, about };
        match self {
            Strategy::Canary(settings) => canary::run(hands, settings).await,
            Strategy::BlueGreen(settings) => blue_green::run(hands, settings).await,
        }
    }
}

fn step(weight: u32) -> Step {
    Step { weight, watch: None, on_fail: 0, pause: false }
}

fn nginx() -> Canary {
    Canary {
        traffic: Traffic::Nginx { ingress: "shop".to_owned(), marked: Marked::default() },
        replicas: CanaryReplicas::ByWeight,
        steps: vec![step(10), step(25), step(50), step(100)],
    }
}

fn by_service() -> BlueGreen {
    BlueGreen {
        by: SwitchBy::Service("backend-service".to_owned()),
        colours: ("blue".to_owned(), "green".to_owned()),
        keep: Keep::For(std::time::Duration::from_secs(60)),
    }
}

fn context() -> TestCtx {
    TestCtx::new(std::env::temp_dir(), std::env::temp_dir())
}

/// What serves without a track, by an Ingress.
fn untracked() -> Vec<Json> {
    vec![ingress("backend-service"), service(""), deployment("", "app:1", 4)]
}

/// What serves as a colour.
fn coloured(track: &str) -> Vec<Json> {
    let mut base = service("");
    base["spec"]["selector"][TRACK] = json!(track);
    vec![ingress("backend-service"), base, service(track), deployment(track, "app:1", 4)]
}

fn wrong(fake: &Fake) -> Vec<String> {
    fake.wrong.lock().unwrap().clone()
}

fn image(fake: &Fake, deployment: &str) -> String {
    let live = fake.live(What::Deployment, deployment).unwrap();
    live.pointer("/spec/template/spec/containers/0/image").and_then(Json::as_str).unwrap().to_owned()
}

fn size(fake: &Fake, deployment: &str) -> u64 {
    fake.live(What::Deployment, deployment).unwrap()["spec"]["replicas"].as_u64().unwrap()
}

fn selector(fake: &Fake, service: &str) -> Json {
    fake.live(What::Service, service).unwrap()["spec"]["selector"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_good_canary_becomes_the_stable_version_and_leaves_nothing() {
    let fake = Fake::new(untracked(), "app:2", Fails::Nothing);
    let ctx = context();
    let outcome = Strategy::Canary(nginx()).run(&fake, &ctx, &about()).await.unwrap();
    assert_eq!(outcome, Outcome::Deployed);
    assert_eq!(wrong(&fake), Vec::<String>::new());
    assert_eq!(image(&fake, "backend"), "app:2");
    assert_eq!(fake.live(What::Deployment, "backend-canary"), None);
    assert_eq!(fake.live(What::Service, "backend-canary-service"), None);
    assert_eq!(fake.live(What::Ingress, "shop-canary"), None);
    assert_eq!(selector(&fake, "backend-service"), json!({"app": "backend"}));
    let weights: Vec<u32> = ctx.journal.lock().unwrap().reports.iter().filter_map(phase_weight).collect();
    assert_eq!(weights, [10, 25, 50, 100]);
}

fn phase_weight(report: &crate::event::TaskReport) -> Option<u32> {
    match report {
        crate::event::TaskReport::Phase { phase, weight, .. } if phase == "weight" => *weight,
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_canary_loses_its_traffic_in_the_first_write_after_the_verdict() {
    let fake = Fake::new(untracked(), "app:2", Fails::Gates(25));
    let outcome = Strategy::Canary(nginx()).run(&fake, &context(), &about()).await.unwrap();
    let Outcome::Back(reason) = outcome else { panic!("{outcome:?}") };
    assert_eq!(reason.text, "errors 31.0 % is over its limit of 5 %");
    assert_eq!(wrong(&fake), Vec::<String>::new());
    assert_eq!(image(&fake, "backend"), "app:1");
    assert_eq!(size(&fake, "backend"), 4);
    assert_eq!(fake.live(What::Deployment, "backend-canary"), None);
    assert_eq!(selector(&fake, "backend-service"), json!({"app": "backend"}));
    let writes = fake.writes.lock().unwrap().clone();
    let weights: Vec<usize> = positions(&writes, "patch ingress shop-canary");
    // 10, 25, and back to 0: nothing lies between the last and what takes the pods away.
    assert_eq!(weights.len(), 3, "{writes:?}");
    assert!(writes[weights[2] + 1..].iter().all(|write| !write.contains("apply")), "{writes:?}");
}

fn positions(writes: &[String], text: &str) -> Vec<usize> {
    writes.iter().enumerate().filter(|(_, write)| *write == text).map(|(place, _)| place).collect()
}

/// T-CAN-06: a step says where traffic rests.
#[tokio::test(start_paused = true)]
async fn a_canary_that_fails_at_a_step_rests_where_the_step_says() {
    let mut settings = nginx();
    settings.steps[1].on_fail = 10;
    let fake = Fake::new(untracked(), "app:2", Fails::Gates(25));
    let outcome = Strategy::Canary(settings.clone()).run(&fake, &context(), &about()).await.unwrap();
    assert!(matches!(outcome, Outcome::Rests { weight: 10, .. }), "{outcome:?}");
    assert_eq!(fake.weight(), Some(10));
    assert_eq!(wrong(&fake), Vec::<String>::new());

    let fake = Fake::new(untracked(), "app:2", Fails::Gates(50));
    let outcome = Strategy::Canary(settings).run(&fake, &context(), &about()).await.unwrap();
    assert!(matches!(outcome, Outcome::Back(_)), "{outcome:?}");
    assert_eq!(fake.weight(), None);
}

/// T-CAN-07: the canary is proven, the stable side does not come up with it.
#[tokio::test(start_paused = true)]
async fn a_promotion_that_fails_keeps_traffic_on_the_canary_until_the_old_version_is_back() {
    let fake = Fake::new(untracked(), "app:2", Fails::Ready("backend"));
    let outcome = Strategy::Canary(nginx()).run(&fake, &context(), &about()).await.unwrap();
    let Outcome::Back(reason) = outcome else { panic!("{outcome:?}") };
    assert!(reason.text.contains("does not come up with the new version"), "{}", reason.text);
    assert_eq!(wrong(&fake), Vec::<String>::new());
    assert_eq!(image(&fake, "backend"), "app:1");
    assert_eq!(fake.live(What::Deployment, "backend-canary"), None);
    assert_eq!(selector(&fake, "backend-service"), json!({"app": "backend"}));
}

#[tokio::test(start_paused = true)]
async fn a_canary_of_a_colour_leaves_the_colour() {
    let fake = Fake::new(coloured("green"), "app:2", Fails::Nothing);
    let outcome = Strategy::Canary(nginx()).run(&fake, &context(), &about()).await.unwrap();
    assert_eq!(outcome, Outcome::Deployed);
    assert_eq!(image(&fake, "backend-green"), "app:2");
    assert_eq!(selector(&fake, "backend-service"), json!({"app": "backend", TRACK: "green"}));
    assert_eq!(wrong(&fake), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn the_stable_autoscaler_is_held_while_the_canary_takes_traffic() {
    let mut objects = untracked();
    objects.push(autoscaler(""));
    let fake = Fake::new(objects.clone(), "app:2", Fails::Gates(25));
    let mut settings = nginx();
    settings.steps[1].on_fail = 10;
    let ctx = context();
    Strategy::Canary(settings).run(&fake, &ctx, &about()).await.unwrap();
    let held = fake.live(What::Autoscaler, "backend-hpa").unwrap();
    assert_eq!(held["spec"]["minReplicas"], 4);

    let fake = Fake::new(objects, "app:2", Fails::Nothing);
    Strategy::Canary(nginx()).run(&fake, &context(), &about()).await.unwrap();
    let free = fake.live(What::Autoscaler, "backend-hpa").unwrap();
    assert_eq!(free["spec"]["minReplicas"], 2);
    assert_eq!(size(&fake, "backend"), 4);
}

#[tokio::test(start_paused = true)]
async fn without_a_router_pods_are_the_weight() {
    let settings = Canary { traffic: Traffic::None, ..nginx() };
    let fake = Fake::new(untracked()[1..].to_vec(), "app:2", Fails::Nothing);
    let outcome = Strategy::Canary(settings.clone()).run(&fake, &context(), &about()).await.unwrap();
    assert_eq!(outcome, Outcome::Deployed);
    // As the manifest says.
    assert_eq!((image(&fake, "backend").as_str(), size(&fake, "backend")), ("app:2", 2));
    let writes = fake.writes.lock().unwrap().clone();
    assert!(writes.iter().any(|write| write == "scale backend-canary 2"), "{writes:?}");
    assert!(writes.iter().any(|write| write == "scale backend 2"), "{writes:?}");

    let fake = Fake::new(untracked()[1..].to_vec(), "app:2", Fails::Gates(100));
    let outcome = Strategy::Canary(settings).run(&fake, &context(), &about()).await.unwrap();
    assert!(matches!(outcome, Outcome::Back(_)), "{outcome:?}");
    assert_eq!((image(&fake, "backend").as_str(), size(&fake, "backend")), ("app:1", 4));
}

#[tokio::test(start_paused = true)]
async fn a_person_promotes_a_step_that_pauses_or_aborts_it() {
    let mut settings = nginx();
    settings.steps[0].pause = true;
    let by = "alice".to_owned();
    for (order, good) in [
        (DeployOrder::Promote { by: by.clone(), full: true }, true),
        (DeployOrder::Promote { by: by.clone(), full: false }, true),
        (DeployOrder::Abort { by: by.clone() }, false),
    ] {
        let fake = Fake::new(untracked(), "app:2", Fails::Nothing);
        let ctx = context();
        *ctx.orders.lock().unwrap() = VecDeque::from([order.clone()]);
        let outcome = Strategy::Canary(settings.clone()).run(&fake, &ctx, &about()).await.unwrap();
        assert_eq!(outcome == Outcome::Deployed, good, "{order:?}: {outcome:?}");
        assert_eq!(image(&fake, "backend"), if good { "app:2" } else { "app:1" });
    }
}

/// Another hand's weight, set while the deploy is at 25.
struct Meddling<'f>(&'f Fake);

impl Meddling<'_> {
    fn set(&self, weight: &str) {
        use super::ground::Ground;
        let live = self.0.live(What::Ingress, "shop-canary").unwrap();
        let patch =
            super::traffic::Patch::new().annotate(&live, "nginx.ingress.kubernetes.io/canary-weight", Some(weight));
        futures_util::FutureExt::now_or_never(self.0.patch(What::Ingress, "shop-canary", patch)).unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn another_hands_weight_is_met_as_the_file_says() {
    for (on_drift, outcome) in [(OnDrift::Reassert, Some(Outcome::Deployed)), (OnDrift::Fail, None)] {
        let fake = Fake::new(untracked(), "app:2", Fails::Nothing);
        let about = About { on_drift, ..about() };
        let mut ctx = context();
        // A crash after the first step, while another hand is at work.
        ctx.crash_at = Some((record_of(&nginx(), "proven-0").await, true));
        let crashed = Strategy::Canary(nginx()).run(&fake, &ctx, &about).await;
        assert!(matches!(crashed, Err(TaskError::Gone(_))), "{crashed:?}");
        Meddling(&fake).set("40");
        let ended = Strategy::Canary(nginx()).run(&fake, &ctx.again(), &about).await;
        match outcome {
            Some(outcome) => assert_eq!(ended.unwrap(), outcome),
            None => {
                let Err(TaskError::Failed { message, ending, .. }) = ended else { panic!("{ended:?}") };
                assert_eq!(ending, Some(crate::event::Ending::Drift));
                assert!(message.contains("gives the canary 40 % of traffic"), "{message}");
                assert_eq!(fake.weight(), Some(40));
            }
        }
    }
}

/// The number of the record that holds the observation of `key` in a run without a crash.
async fn record_of(settings: &Canary, key: &str) -> usize {
    let fake = Fake::new(untracked(), "app:2", Fails::Nothing);
    let ctx = context();
    Strategy::Canary(settings.clone()).run(&fake, &ctx, &about()).await.unwrap();
    let all = ctx.journal.lock().unwrap().records;
    for number in 1..=all {
        let fake = Fake::new(untracked(), "app:2", Fails::Nothing);
        let mut ctx = context();
        ctx.crash_at = Some((number, true));
        let _ = Strategy::Canary(settings.clone()).run(&fake, &ctx, &about()).await;
        let journal = ctx.journal.lock().unwrap();
        if journal.effects.iter().any(|(known, recorded)| known == key && recorded.observation.is_some()) {
            return number;
        }
    }
    panic!("no record of {key}")
}

#[tokio::test(start_paused = true)]
async fn the_other_colour_takes_over_and_the_old_one_stays() {
    let fake = Fake::new(coloured("green"), "app:2", Fails::Nothing);
    let outcome = Strategy::BlueGreen(by_service()).run(&fake, &context(), &about()).await.unwrap();
    assert_eq!(outcome, Outcome::Deployed);
    assert_eq!(wrong(&fake), Vec::<String>::new());
    // T-BG-03: green served, so blue comes.
    assert_eq!(selector(&fake, "backend-service"), json!({"app": "backend", TRACK: "blue"}));
    assert_eq!((image(&fake, "backend-blue").as_str(), size(&fake, "backend-blue")), ("app:2", 4));
    assert_eq!((image(&fake, "backend-green").as_str(), size(&fake, "backend-green")), ("app:1", 4));
    let old = fake.live(What::Deployment, "backend-green").unwrap();
    assert!(super::traffic::patch::annotation(&old, super::standby::STANDBY_UNTIL).is_some());
}

#[tokio::test(start_paused = true)]
async fn a_side_without_a_track_is_told_by_its_replica_set_until_the_switch() {
    let fake = Fake::new(untracked(), "app:2", Fails::Nothing);
    let outcome = Strategy::BlueGreen(by_service()).run(&fake, &context(), &about()).await.unwrap();
    assert_eq!(outcome, Outcome::Deployed);
    assert_eq!(wrong(&fake), Vec::<String>::new());
    assert_eq!(selector(&fake, "backend-service"), json!({"app": "backend", TRACK: "blue"}));
    assert_eq!(size(&fake, "backend"), 4);
}

#[tokio::test(start_paused = true)]
async fn an_ingress_switches_by_the_service_it_names() {
    let settings = BlueGreen { by: SwitchBy::Ingress("shop".to_owned()), ..by_service() };
    for (objects, old) in [(untracked(), "backend"), (coloured("green"), "backend-green")] {
        let fake = Fake::new(objects, "app:2", Fails::Nothing);
        let outcome = Strategy::BlueGreen(settings.clone()).run(&fake, &context(), &about()).await.unwrap();
        assert_eq!(outcome, Outcome::Deployed);
        assert_eq!(wrong(&fake), Vec::<String>::new());
        let ingress = fake.live(What::Ingress, "shop").unwrap();
        let named = ingress.pointer("/spec/rules/0/http/paths/0/backend/service/name").unwrap();
        assert_eq!(named, "backend-blue-service");
        assert_eq!(selector(&fake, "backend-service"), json!({"app": "backend", TRACK: "blue"}));
        assert_eq!(image(&fake, old), "app:1");
    }
}

/// T-BG-04: whatever fails before the switch, the active colour is not touched.
#[tokio::test(start_paused = true)]
async fn what_fails_before_the_switch_leaves_the_active_colour_alone() {
    for fails in [Fails::Ready("backend-blue"), Fails::Smoke, Fails::Migrate] {
        let fake = Fake::new(coloured("green"), "app:2", fails.clone());
        let before = (selector(&fake, "backend-service"), fake.live(What::Deployment, "backend-green"));
        let outcome = Strategy::BlueGreen(by_service()).run(&fake, &context(), &about()).await.unwrap();
        assert!(matches!(outcome, Outcome::Back(_)), "{fails:?}: {outcome:?}");
        let after = (selector(&fake, "backend-service"), fake.live(What::Deployment, "backend-green"));
        assert_eq!(before, after, "{fails:?}");
        assert_eq!(size(&fake, "backend-blue"), 0, "{fails:?}");
        assert_eq!(wrong(&fake), Vec::<String>::new());
    }
}

/// T-BG-05: errors after the switch.
#[tokio::test(start_paused = true)]
async fn errors_after_the_switch_bring_the_old_colour_back() {
    for objects in [coloured("green"), untracked()] {
        for by in [SwitchBy::Service("backend-service".to_owned()), SwitchBy::Ingress("shop".to_owned())] {
            let fake = Fake::new(objects.clone(), "app:2", Fails::Gates(100));
            let before =
                (selector(&fake, "backend-service"), fake.live(What::Ingress, "shop").unwrap()["spec"].clone());
            let settings = BlueGreen { by: by.clone(), ..by_service() };
            let outcome = Strategy::BlueGreen(settings).run(&fake, &context(), &about()).await.unwrap();
            assert!(matches!(outcome, Outcome::Back(_)), "{by:?}: {outcome:?}");
            let after = (selector(&fake, "backend-service"), fake.live(What::Ingress, "shop").unwrap()["spec"].clone());
            assert_eq!(before, after);
            assert_eq!(size(&fake, "backend-blue"), 0);
            assert_eq!(wrong(&fake), Vec::<String>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_first_release_opens_the_service_to_the_first_colour() {
    let fake = Fake::new(Vec::new(), "app:1", Fails::Nothing);
    let outcome = Strategy::BlueGreen(by_service()).run(&fake, &context(), &about()).await.unwrap();
    assert_eq!(outcome, Outcome::Deployed);
    assert_eq!(selector(&fake, "backend-service"), json!({"app": "backend", TRACK: "blue"}));
    assert_eq!(image(&fake, "backend-blue"), "app:1");
}

/// T-CRASH: before and after each record, the end is as without a crash.
async fn crashes(name: &str, strategy: Strategy, objects: Vec<Json>, fails: Fails) {
    let fake = Fake::new(objects.clone(), "app:2", fails.clone());
    let ctx = context();
    let outcome = strategy.run(&fake, &ctx, &about()).await.unwrap();
    let (sight, records) = (fake.sight(), ctx.journal.lock().unwrap().records);
    assert!(records > 10, "{name}: {records} records");
    let broken = Mutex::new(Vec::new());
    for number in 1..=records {
        for after in [false, true] {
            let fake = Fake::new(objects.clone(), "app:2", fails.clone());
            let mut ctx = context();
            ctx.crash_at = Some((number, after));
            let crashed = strategy.run(&fake, &ctx, &about()).await;
            let ended = match crashed {
                Err(TaskError::Gone(_)) => strategy.run(&fake, &ctx.again(), &about()).await,
                other => other,
            };
            let end = ended.map_err(|e| e.to_string());
            if end != Ok(outcome.clone()) || fake.sight() != sight || !wrong(&fake).is_empty() {
                let texts = (end, fake.sight(), wrong(&fake));
                broken.lock().unwrap().push(format!("{name} {number} {after}: {texts:#?}"));
            }
        }
    }
    let broken = broken.into_inner().unwrap();
    assert!(broken.is_empty(), "{} of {records} records; expected {sight:#?}\n{}", broken.len(), broken[0]);
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_record_of_a_canary_changes_nothing_of_its_end() {
    let mut resting = nginx();
    resting.steps[1].on_fail = 10;
    crashes("good", Strategy::Canary(nginx()), untracked(), Fails::Nothing).await;
    crashes("good, of a colour", Strategy::Canary(nginx()), coloured("green"), Fails::Nothing).await;
    crashes("bad at 25", Strategy::Canary(nginx()), untracked(), Fails::Gates(25)).await;
    crashes("resting at 10", Strategy::Canary(resting), untracked(), Fails::Gates(25)).await;
    crashes("not promoted", Strategy::Canary(nginx()), untracked(), Fails::Ready("backend")).await;
    crashes("never ready", Strategy::Canary(nginx()), untracked(), Fails::Ready("backend-canary")).await;
    let pods = Canary { traffic: Traffic::None, ..nginx() };
    crashes("by pods", Strategy::Canary(pods), untracked()[1..].to_vec(), Fails::Nothing).await;
    let mut scaled = untracked();
    scaled.push(autoscaler(""));
    crashes("autoscaled", Strategy::Canary(nginx()), scaled, Fails::Nothing).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_record_of_a_blue_green_deploy_changes_nothing_of_its_end() {
    let ingress = BlueGreen { by: SwitchBy::Ingress("shop".to_owned()), ..by_service() };
    let at_once = BlueGreen { keep: Keep::For(std::time::Duration::ZERO), ..by_service() };
    crashes("good", Strategy::BlueGreen(by_service()), coloured("green"), Fails::Nothing).await;
    crashes("good, without a track", Strategy::BlueGreen(by_service()), untracked(), Fails::Nothing).await;
    crashes("old one down", Strategy::BlueGreen(at_once), coloured("blue"), Fails::Nothing).await;
    crashes("bad", Strategy::BlueGreen(by_service()), untracked(), Fails::Gates(100)).await;
    crashes("bad smoke", Strategy::BlueGreen(by_service()), coloured("green"), Fails::Smoke).await;
    crashes("by ingress", Strategy::BlueGreen(ingress.clone()), untracked(), Fails::Nothing).await;
    crashes("bad by ingress", Strategy::BlueGreen(ingress), coloured("green"), Fails::Gates(100)).await;
    let mut scaled = coloured("green");
    scaled.extend([autoscaler("green"), autoscaler("")]);
    crashes("autoscaled", Strategy::BlueGreen(by_service()), scaled, Fails::Nothing).await;
}
