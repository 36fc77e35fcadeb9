//! `deploy:`. Rolls out to Kubernetes and takes itself back.

use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::model::{Node, codes};

use super::settings::{Reader, Settings};
use super::{Analysis, Checks};

/// A strategy, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StrategyName {
    /// Pods are replaced a few at a time.
    #[default]
    Rolling,
    /// A second colour beside the first, then one switch.
    BlueGreen,
    /// A growing share of traffic.
    Canary,
}

impl StrategyName {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            StrategyName::Rolling => "rolling",
            StrategyName::BlueGreen => "blue-green",
            StrategyName::Canary => "canary",
        }
    }
}

/// The settings of `rolling`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Rolling {
    /// A number of pods or a percentage, as Kubernetes takes it; none: what the manifests say.
    pub max_surge: Option<String>,
    /// Likewise.
    pub max_unavailable: Option<String>,
}

/// What a blue-green deploy switches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchBy {
    /// A Service's selector.
    Service(String),
    /// An Ingress' backends.
    Ingress(String),
    /// An HTTPRoute's backends.
    Route(String),
}

/// How long the old colour is kept at full size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// So long after the switch.
    For(Duration),
    /// Until the next release.
    NextRelease,
}

impl Keep {
    /// Whether it goes at once.
    pub fn is_zero(&self) -> bool {
        *self == Keep::For(Duration::ZERO)
    }
}

/// The settings of `blue-green`.
#[derive(Debug, Clone, PartialEq)]
pub struct BlueGreen {
    /// What is switched.
    pub by: SwitchBy,
    /// The colours' names.
    pub colours: (String, String),
    /// How long the old colour is kept.
    pub keep: Keep,
}

/// Requests that always go to the canary, whatever its weight.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    /// By a header.
    pub header: Option<HeaderRule>,
    /// By a cookie of this name, whose value is `always` (ingress-nginx' rule).
    pub cookie: Option<String>,
}

/// Requests with a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeaderRule {
    /// The header's name.
    pub name: String,
    /// With this value. Without it `always` goes to the canary, `never` to the stable side.
    pub value: Option<String>,
}

/// What divides a canary's traffic.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Traffic {
    /// The number of pods behind one Service.
    #[default]
    None,
    /// Annotations of ingress-nginx.
    Nginx {
        /// The main Ingress.
        ingress: String,
        /// Requests that always go to the canary.
        marked: Marked,
    },
    /// A Gateway API HTTPRoute.
    Gateway {
        /// The route.
        route: String,
        /// Requests with this header go to the canary.
        header: Option<HeaderRule>,
    },
    /// An Istio VirtualService.
    Istio {
        /// The virtual service.
        virtual_service: String,
        /// The destination rule, whose words hold for the canary too.
        destination_rule: Option<String>,
        /// Requests with this header go to the canary.
        header: Option<HeaderRule>,
    },
}

/// How many pods a canary has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CanaryReplicas {
    /// As its weight asks, at least one.
    #[default]
    ByWeight,
    /// So many.
    Fixed(u32),
    /// An autoscaler of its own.
    Between {
        /// At least.
        min: u32,
        /// At most.
        max: u32,
    },
}

/// A step of a canary.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Its share of traffic in percent.
    pub weight: u32,
    /// How long it is watched; none: the deploy's `watch`.
    pub watch: Option<Duration>,
    /// Where traffic rests when it fails here; 0: the canary goes.
    pub on_fail: u32,
    /// Whether it waits for `deploy promote`.
    pub pause: bool,
}

/// The settings of `canary`.
#[derive(Debug, Clone, PartialEq)]
pub struct Canary {
    /// What divides traffic.
    pub traffic: Traffic,
    /// How many pods it has.
    pub replicas: CanaryReplicas,
    /// Its steps, rising.
    pub steps: Vec<Step>,
}

/// What a failed deploy means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFail {
    /// It goes back.
    #[default]
    Rollback,
    /// And with it the deploys to this environment that it needs, last first.
    RollbackAll,
    /// A person is paged.
    Page,
}

/// What happens while another deploy of the application is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnBusy {
    /// This one is refused.
    #[default]
    Refuse,
    /// This one waits.
    Queue,
    /// The other one goes back first.
    Preempt,
}

/// What happens when another hand has changed what the deploy had set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnDrift {
    /// It waits for a person.
    #[default]
    Pause,
    /// It sets it again.
    Reassert,
    /// It stops and leaves everything as it is.
    Fail,
}

/// The settings of `deploy`. What a strategy says for itself has been put in the place of what all share.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deploy {
    /// The application; none: the stage's name.
    pub app: Option<String>,
    /// The environment's name.
    pub environment: Option<String>,
    /// The namespace; none: the environment's.
    pub namespace: Option<String>,
    /// Files, folders, globs.
    pub manifests: Vec<String>,
    /// Names in the manifests and what stands in their place.
    pub images: Vec<(String, String)>,
    /// The strategy that is chosen.
    pub strategy: StrategyName,
    /// Settings of `rolling`.
    pub rolling: Rolling,
    /// Settings of `blue-green`, where they are given.
    pub blue_green: Option<BlueGreen>,
    /// Settings of `canary`, where they are given.
    pub canary: Option<Canary>,
    /// The file of a Job that runs once a release, before the new version gets traffic.
    pub migrate: Option<String>,
    /// Checks on the new version before it gets traffic.
    pub smoke: Checks,
    /// Time after each change of weight.
    pub settle: Duration,
    /// Time before the old side is scaled down; none: the longer of 30 s and the pods' grace.
    pub drain: Option<Duration>,
    /// How long it is watched.
    pub watch: Duration,
    /// The gates.
    pub analysis: Analysis,
    /// Time to become ready.
    pub progress_deadline: Duration,
    /// What a failure means.
    pub on_fail: OnFail,
    /// What happens while another deploy is under way.
    pub on_busy: OnBusy,
    /// What happens when another hand has changed something.
    pub on_drift: OnDrift,
    /// Whether what the last release had and this one has not is deleted.
    pub prune: bool,
}

const KEYS: &[&str] = &[
    "app",
    "environment",
    "namespace",
    "manifests",
    "kustomize",
    "helm",
    "argocd",
    "images",
    "strategy",
    "strategies",
    "migrate",
    "smoke",
    "settle",
    "drain",
    "watch",
    "analysis",
    "progress-deadline",
    "on-fail",
    "on-busy",
    "on-drift",
    "prune",
    "waves",
];
/// What all strategies share, and each may say for itself.
const SHARED: [&str; 6] = ["migrate", "smoke", "settle", "drain", "watch", "analysis"];
const STRATEGIES: &[&str] = &["rolling", "blue-green", "canary"];
/// More pods than this no setting means.
const MANY_PODS: u64 = 100_000;

impl Deploy {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let settings = reader.map("deploy", node, KEYS, &[])?;
        reader.not_yet(&settings, &["kustomize", "helm", "argocd", "waves"]);
        let from_elsewhere = ["kustomize", "helm", "argocd"].iter().any(|key| settings.given(key).is_some());
        if settings.get("manifests").is_none() && !from_elsewhere {
            let message = "\"deploy\" needs the key \"manifests\"";
            reader.push(Diagnostic::error(codes::MISSING, settings.span, message));
        }
        let seconds = Duration::from_secs;
        let mut deploy = Self { settle: seconds(5), progress_deadline: seconds(300), ..Self::default() };
        let mut text = |key: &str| settings.get(key).and_then(|node| reader.text(key, node));
        (deploy.app, deploy.environment, deploy.namespace) = (text("app"), text("environment"), text("namespace"));
        deploy.manifests = settings.get("manifests").map(|node| reader.texts("manifests", node)).unwrap_or_default();
        deploy.images = settings.get("images").map(|node| reader.pairs("images", node)).unwrap_or_default();
        deploy.shared(reader, &settings);
        if let Some(limit) =
            settings.get("progress-deadline").and_then(|node| reader.duration("progress-deadline", node))
        {
            deploy.progress_deadline = limit;
        }
        deploy.policies(reader, &settings);
        deploy.strategies(reader, &settings);
        Some(deploy)
    }

    fn policies(&mut self, reader: &mut Reader<'_>, settings: &Settings<'_>) {
        let mut word = |key: &'static str, choices: &[&'static str]| {
            settings.get(key).and_then(|node| reader.word(key, node, choices))
        };
        self.on_fail = match word("on-fail", &["rollback", "rollback-all", "page"]) {
            Some("rollback-all") => OnFail::RollbackAll,
            Some("page") => OnFail::Page,
            _ => OnFail::Rollback,
        };
        self.on_busy = match word("on-busy", &["refuse", "queue", "preempt"]) {
            Some("queue") => OnBusy::Queue,
            Some("preempt") => OnBusy::Preempt,
            _ => OnBusy::Refuse,
        };
        self.on_drift = match word("on-drift", &["pause", "reassert", "fail"]) {
            Some("reassert") => OnDrift::Reassert,
            Some("fail") => OnDrift::Fail,
            _ => OnDrift::Pause,
        };
        self.prune = settings.get("prune").and_then(|node| reader.boolean("prune", node)).unwrap_or(false);
    }

    /// Reads what all strategies share, where it is given.
    fn shared(&mut self, reader: &mut Reader<'_>, settings: &Settings<'_>) {
        if let Some(node) = settings.get("migrate") {
            self.migrate = reader.text("migrate", node);
        }
        if let Some(node) = settings.get("smoke") {
            self.smoke = Checks::read(reader, "smoke", node).unwrap_or_default();
        }
        let mut duration = |key: &str| settings.get(key).and_then(|node| reader.duration(key, node));
        let (settle, drain, watch) = (duration("settle"), duration("drain"), duration("watch"));
        self.settle = settle.unwrap_or(self.settle);
        self.drain = drain.or(self.drain);
        self.watch = watch.unwrap_or(self.watch);
        if let Some(analysis) = settings.get("analysis").and_then(|node| Analysis::read(reader, node)) {
            self.analysis = analysis;
        }
    }

    /// Reads all strategies that stand there; the one that is chosen gets its own words in the place of the shared ones.
    fn strategies(&mut self, reader: &mut Reader<'_>, settings: &Settings<'_>) {
        let mut given: Vec<(&'static str, &Node)> = Vec::new();
        if let Some(node) = settings.get("strategies")
            && let Some(map) = reader.map("strategies", node, STRATEGIES, &[])
        {
            given.extend(STRATEGIES.iter().filter_map(|name| Some((*name, map.given(name)?))));
        }
        let mut chosen = "rolling";
        if let Some(node) = settings.get("strategy")
            && let Some((name, own)) = reader.choice_of("strategy", node, STRATEGIES)
        {
            chosen = name;
            if let Some(own) = own {
                given.retain(|(other, _)| *other != name);
                given.push((name, own));
            }
        }
        let is_open = settings.get("strategy").is_some_and(|node| reader.is_open(node));
        self.strategy = match chosen {
            "blue-green" => StrategyName::BlueGreen,
            "canary" => StrategyName::Canary,
            _ => StrategyName::Rolling,
        };
        for (name, node) in given {
            let mut own = self.clone();
            own.one(reader, name, node);
            if name == chosen {
                *self = own;
            } else {
                (self.blue_green, self.canary) = (own.blue_green, own.canary);
            }
        }
        let missing = match self.strategy {
            StrategyName::BlueGreen => self.blue_green.is_none(),
            StrategyName::Canary => self.canary.is_none(),
            StrategyName::Rolling => false,
        };
        if missing && !is_open {
            let message = format!("strategy \"{chosen}\" needs settings");
            let help = format!("write \"strategies: {{{chosen}: {{...}}}}\", or \"strategy: {{{chosen}: {{...}}}}\"");
            reader.push(Diagnostic::error(codes::MISSING, settings.key_span("strategy"), message).help(help));
        }
    }

    fn one(&mut self, reader: &mut Reader<'_>, name: &'static str, node: &Node) {
        let own: &[&'static str] = match name {
            "blue-green" => &["service", "ingress", "route", "virtual-service", "colours", "keep"],
            "canary" => &["traffic", "replicas", "steps"],
            _ => &["max-surge", "max-unavailable"],
        };
        if node.is_null() && name == "rolling" {
            return;
        }
        let keys: Vec<&'static str> = own.iter().chain(&SHARED).copied().collect();
        let Some(settings) = reader.map(name, node, &keys, &[]) else { return };
        self.shared(reader, &settings);
        match name {
            "blue-green" => self.blue_green = blue_green(reader, &settings),
            "canary" => self.canary = canary(reader, &settings),
            _ => {
                let mut text = |key: &str| settings.get(key).and_then(|node| reader.text(key, node));
                self.rolling = Rolling { max_surge: text("max-surge"), max_unavailable: text("max-unavailable") };
            }
        }
    }
}

fn blue_green(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Option<BlueGreen> {
    reader.not_yet(settings, &["virtual-service"]);
    let mut switches = Vec::new();
    for key in ["service", "ingress", "route"] {
        let name = settings.get(key).and_then(|node| reader.text(key, node));
        switches.extend(name.map(|name| match key {
            "service" => SwitchBy::Service(name),
            "ingress" => SwitchBy::Ingress(name),
            _ => SwitchBy::Route(name),
        }));
    }
    if switches.len() != 1 && settings.get("virtual-service").is_none() {
        let message = "\"blue-green\" needs one of service, ingress and route";
        reader.push(Diagnostic::error(codes::MISSING, settings.span, message));
    }
    let mut colours = ("blue".to_owned(), "green".to_owned());
    if let Some(node) = settings.get("colours") {
        match reader.texts("colours", node).as_slice() {
            [first, second] if first != second => colours = (first.clone(), second.clone()),
            _ => reader.refuse(node, "\"colours\" are two different names", None),
        }
    }
    let keep = match settings.get("keep") {
        None => Keep::For(Duration::from_secs(30 * 60)),
        Some(node) if node.scalar().is_some_and(|(text, _)| matches!(&**text, "next-release" | "next_release")) => {
            Keep::NextRelease
        }
        Some(node) => Keep::For(reader.duration("keep", node)?),
    };
    Some(BlueGreen { by: switches.into_iter().next()?, colours, keep })
}

fn canary(reader: &mut Reader<'_>, settings: &Settings<'_>) -> Option<Canary> {
    let traffic = settings.get("traffic").map_or(Some(Traffic::None), |node| traffic(reader, node))?;
    let replicas = match settings.get("replicas") {
        None => CanaryReplicas::ByWeight,
        Some(node) if node.entries().is_some() => {
            let map = reader.map("replicas", node, &["min", "max"], &["max"])?;
            let min = map.get("min").map_or(Some(1), |node| reader.integer("min", node, 1..=MANY_PODS))?;
            let max = map.get("max").and_then(|node| reader.integer("max", node, min..=MANY_PODS))?;
            CanaryReplicas::Between { min: min as u32, max: max as u32 }
        }
        Some(node) => CanaryReplicas::Fixed(reader.integer("replicas", node, 1..=MANY_PODS)? as u32),
    };
    let Some(node) = settings.get("steps") else {
        reader.push(Diagnostic::error(codes::MISSING, settings.span, "\"canary\" needs the key \"steps\""));
        return None;
    };
    let nodes = node.items().unwrap_or(std::slice::from_ref(node));
    let steps: Vec<Step> = nodes.iter().filter_map(|node| step(reader, node)).collect();
    let is_open =
        nodes.iter().any(|node| reader.is_open(node) || node.get("weight").is_some_and(|w| reader.is_open(w)));
    if !is_open && !steps.windows(2).all(|pair| pair[0].weight < pair[1].weight) {
        reader.refuse(node, "the weights of \"steps\" rise from step to step", None);
    }
    Some(Canary { traffic, replicas, steps })
}

fn traffic(reader: &mut Reader<'_>, node: &Node) -> Option<Traffic> {
    let (name, own) = reader.choice_of("traffic", node, &["none", "nginx", "gateway", "istio", "helm"])?;
    let Some(own) = own else {
        if name != "none" {
            reader.refuse(node, format!("\"{name}\" needs settings"), None);
        }
        return Some(Traffic::None);
    };
    match name {
        "nginx" => {
            let map = reader.map("nginx", own, &["ingress", "header", "cookie"], &["ingress"])?;
            let ingress = map.get("ingress").and_then(|node| reader.text("ingress", node));
            let header = map.get("header").and_then(|node| header(reader, node));
            let cookie = map.get("cookie").and_then(|node| reader.text("cookie", node));
            Some(Traffic::Nginx { ingress: ingress?, marked: Marked { header, cookie } })
        }
        "gateway" => {
            let map = reader.map("gateway", own, &["route", "header"], &["route"])?;
            let route = map.get("route").and_then(|node| reader.text("route", node));
            Some(Traffic::Gateway { route: route?, header: map.get("header").and_then(|node| header(reader, node)) })
        }
        "istio" => {
            let keys = &["virtual-service", "destination-rule", "header"];
            let map = reader.map("istio", own, keys, &["virtual-service"])?;
            let virtual_service = map.get("virtual-service").and_then(|node| reader.text("virtual-service", node));
            let destination_rule = map.get("destination-rule").and_then(|node| reader.text("destination-rule", node));
            let header = map.get("header").and_then(|node| header(reader, node));
            Some(Traffic::Istio { virtual_service: virtual_service?, destination_rule, header })
        }
        "helm" => {
            let message = "\"traffic\" by \"helm\" is read but cannot be done yet";
            reader.push(Diagnostic::error(codes::NOT_YET, node.span, message));
            Some(Traffic::None)
        }
        _ => Some(Traffic::None),
    }
}

/// `X-Canary` (always, never), or `{X-Canary: "true"}`.
fn header(reader: &mut Reader<'_>, node: &Node) -> Option<HeaderRule> {
    match node.entries() {
        Some([one]) => Some(HeaderRule { name: one.key.to_string(), value: Some(reader.text("header", &one.value)?) }),
        Some(_) => {
            reader.refuse(node, "\"header\" is one header, with the value that leads to the canary", None);
            None
        }
        None => reader.text("header", node).map(|name| HeaderRule { name, value: None }),
    }
}

fn step(reader: &mut Reader<'_>, node: &Node) -> Option<Step> {
    if node.entries().is_none() {
        let weight = weight(reader, node)?;
        return Some(Step { weight, watch: None, on_fail: 0, pause: false });
    }
    let map = reader.map("step", node, &["weight", "watch", "on-fail", "pause"], &["weight"])?;
    let weight = map.get("weight").and_then(|node| self::weight(reader, node))?;
    let mut on_fail = 0;
    if let Some(node) = map.get("on-fail")
        && let Some(map) = reader.map("on-fail", node, &["weight"], &["weight"])
    {
        on_fail = map.get("weight").and_then(|node| reader.integer("weight", node, 0..=100))? as u32;
    }
    let watch = map.get("watch").and_then(|node| reader.duration("watch", node));
    let pause = map.get("pause").and_then(|node| reader.boolean("pause", node)).unwrap_or(false);
    Some(Step { weight, watch, on_fail, pause })
}

fn weight(reader: &mut Reader<'_>, node: &Node) -> Option<u32> {
    if let Some((text, _)) = node.scalar()
        && let Some(number) = text.strip_suffix('%')
    {
        reader.refuse(
            node,
            format!("a weight is a whole number, not \"{text}\""),
            Some(format!("did you mean {number}?")),
        );
        return None;
    }
    reader.integer("weight", node, 1..=100).map(|weight| weight as u32)
}

/// What a deploy leaves for later stages of the run.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Deployed {
    /// The application.
    pub app: String,
    /// The environment's name, where it has one.
    pub environment: Option<String>,
    /// The namespace of the application's lease and release records.
    pub namespace: String,
    /// `rolling`, `blue-green`, `canary`, or `first` (nothing was there before).
    pub strategy: String,
    /// The number of the release in the application's history, from 1.
    pub release: u64,
    /// The release before it.
    pub previous: Option<u64>,
    /// Images by container name, as they run now.
    pub images: Vec<(String, String)>,
    /// `deployed`, `rolled-back` or `paged`.
    pub result: String,
}
