//! Taking a release back, whoever deployed it: how it was deployed is found out from what is live, then from the releases on
//! record, then from the Deployment's own history. No journal is needed.

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::ground::{Ground, What};
use super::halt::Halt;
use super::hands::{About, Hands};
use super::lease::Lease;
use super::live::{Live, failed};
use super::objects::Objects;
use super::release::{self, Release, Status};
use super::render::Rendered;
use super::traffic::Switch;
use super::traffic::gateway::RouteSwitch;
use super::traffic::ingress::IngressSwitch;
use super::traffic::patch::{Patch, annotation};
use super::traffic::service::{ServiceSwitch, TRACK, selector};
use super::{rolling, sides, standby, withdraw};
use crate::client::kube::Cluster;
use crate::stage::Deploy;
use crate::stage::deploy::OnBusy;
use crate::task::contract::{TaskCtx, TaskError, effect};

/// How a release goes back.
#[derive(Debug, Clone, PartialEq)]
pub enum Way {
    /// A canary is under way: its traffic goes, then it.
    Withdraw {
        /// Its Deployment.
        canary: String,
    },
    /// The other colour stands by: all traffic goes there in one write.
    SwitchBack {
        /// The colour that serves.
        from: String,
        /// The colour that stands by.
        to: String,
        /// Its Deployment.
        deployment: String,
    },
    /// An earlier release is applied again.
    Apply {
        /// Its number.
        release: u64,
    },
    /// A Deployment that nobody has on record goes back to the template before.
    Undo {
        /// Its name.
        deployment: String,
        /// The ReplicaSet with that template.
        replica_set: String,
    },
}

impl Way {
    /// For people.
    pub fn said(&self) -> String {
        match self {
            Way::Withdraw { canary } => {
                format!("a canary is under way: traffic leaves \"{canary}\" in one write, then it goes")
            }
            Way::SwitchBack { from, to, deployment } => {
                format!(
                    "blue-green: all traffic goes from \"{from}\" back to \"{to}\" (\"{deployment}\" stands by) in one write"
                )
            }
            Way::Apply { release } => format!("release {release} is applied again, pods a few at a time"),
            Way::Undo { deployment, replica_set } => {
                format!(
                    "no release is on record: deployment \"{deployment}\" goes back to the template of \"{replica_set}\""
                )
            }
        }
    }
}

/// What is known of an application.
pub struct Known {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace.
    pub namespace: String,
    /// The application.
    pub app: String,
    /// Its releases, oldest first.
    pub releases: Vec<Release>,
}

impl Known {
    /// Reads the releases.
    pub async fn of(cluster: &Cluster, namespace: &str, app: &str) -> Result<Self, TaskError> {
        let releases = release::list(cluster, namespace, app).await.map_err(|e| failed(&e))?;
        Ok(Self { cluster: cluster.clone(), namespace: namespace.to_owned(), app: app.to_owned(), releases })
    }

    fn objects(&self) -> Objects {
        Objects::new(self.cluster.clone(), &self.namespace)
    }

    /// The Service that leads to the application: what its newest release says, else the one that selects a Deployment of it.
    async fn service(&self) -> Result<Option<Json>, TaskError> {
        let objects = self.objects();
        if let Some(name) = self.releases.iter().rev().find_map(|release| release.service.clone()) {
            return objects.get(What::Service, &name).await;
        }
        let all = objects.list(What::Service, "").await?;
        let named = |service: &&Json| {
            let name = sides::name(service);
            name == self.app || name == format!("{}-service", self.app)
        };
        Ok(all.iter().find(named).cloned())
    }

    /// How the application goes back, to release `to` or to what served before.
    pub async fn way(&self, to: Option<u64>) -> Result<Way, TaskError> {
        let objects = self.objects();
        let deployments = objects.list(What::Deployment, "").await?;
        let own = |deployment: &&Json| deployment["metadata"]["labels"]["slipway.dev/app"] == self.app.as_str();
        if to.is_none()
            && let Some(canary) = deployments.iter().filter(own).find(|one| sides::track(one) == super::canary::TRACK)
        {
            return Ok(Way::Withdraw { canary: sides::name(canary).to_owned() });
        }
        let serving = release::serving(&self.releases);
        let deployed = |number: &u64| {
            self.releases.iter().any(|release| release.number == *number && release.status == Status::Deployed)
        };
        if let Some(to) = to {
            return match self.releases.iter().find(|release| release.number == to) {
                Some(_) if deployed(&to) => Ok(Way::Apply { release: to }),
                Some(_) => Err(TaskError::failed(format!(
                    "release {to} of \"{}\" never served; `slipway deploy history {}` lists those that did",
                    self.app, self.app
                ))),
                None => Err(TaskError::failed(format!(
                    "release {to} of \"{}\" is not on record; `slipway deploy history {}` lists what is",
                    self.app, self.app
                ))),
            };
        }
        let service = self.service().await?;
        if let Some(service) = &service {
            let active = selector(service).get(TRACK).and_then(Json::as_str).unwrap_or_default().to_owned();
            let standing = deployments.iter().filter(own).find(|one| {
                annotation(one, standby::STANDBY_UNTIL).is_some()
                    && sides::replicas(one) > 0
                    && sides::track(one) != active
            });
            if let Some(standing) = standing {
                let (to, deployment) = (sides::track(standing).to_owned(), sides::name(standing).to_owned());
                return Ok(Way::SwitchBack { from: active, to, deployment });
            }
        }
        let before = serving.and_then(|serving| {
            self.releases.iter().rev().find(|one| one.number < serving.number && one.status == Status::Deployed)
        });
        if let Some(before) = before {
            return Ok(Way::Apply { release: before.number });
        }
        if serving.is_some() {
            return Err(TaskError::failed(format!(
                "\"{}\" has one release only: there is nothing to go back to",
                self.app
            )));
        }
        self.undo(&deployments).await
    }

    /// The template before, of a Deployment that somebody else rolled out.
    async fn undo(&self, deployments: &[Json]) -> Result<Way, TaskError> {
        let Some(deployment) = deployments.iter().find(|one| sides::name(one) == self.app) else {
            return Err(TaskError::failed(format!(
                "nothing is known of \"{}\" in namespace \"{}\": there is no release on record, and no deployment of this name",
                self.app, self.namespace
            )));
        };
        let revision = |object: &Json| {
            annotation(object, "deployment.kubernetes.io/revision")
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or(0)
        };
        let sets = self.objects().list(What::ReplicaSet, "").await?;
        let now = revision(deployment);
        let before = sides::owned(&sets, sides::uid(deployment))
            .filter(|set| revision(set) < now)
            .max_by_key(|set| revision(set));
        match before {
            Some(before) => Ok(Way::Undo { deployment: self.app.clone(), replica_set: sides::name(before).to_owned() }),
            None => {
                Err(TaskError::failed(format!("deployment \"{}\" has no earlier template to go back to", self.app)))
            }
        }
    }

    /// Goes back on this way, under the lease of the application.
    pub async fn go(&self, way: &Way, ctx: &dyn TaskCtx, holder: &str, deadline: Duration) -> Result<(), TaskError> {
        let lease = Lease::take(&self.cluster, &self.namespace, &self.app, holder, OnBusy::Preempt, ctx).await?;
        let spec = Deploy { progress_deadline: deadline, ..Deploy::default() };
        let newest = self.releases.last();
        let live = Live {
            objects: self.objects(),
            cluster: self.cluster.clone(),
            ctx,
            spec: &spec,
            app: self.app.clone(),
            namespace: self.namespace.clone(),
            release: newest.map_or(0, |release| release.number),
            rendered: rendered(newest),
            lease,
            url: None,
        };
        let about = About {
            app: self.app.clone(),
            environment: newest.and_then(|one| one.environment.clone()).unwrap_or_else(|| self.namespace.clone()),
            namespace: self.namespace.clone(),
            service: newest.and_then(|one| one.service.clone()).unwrap_or_default(),
            drain: Some(Duration::from_secs(5)),
            ..About::default()
        };
        let hands = Hands { ground: &live, ctx, about: &about };
        let result = self.on(way, &live, &hands).await;
        if !matches!(result, Err(TaskError::Gone(_) | TaskError::Paused)) {
            live.lease.release().await;
        }
        result
    }

    async fn on(&self, way: &Way, live: &Live<'_>, hands: &Hands<'_>) -> Result<(), TaskError> {
        let ctx = live.ctx;
        match way {
            Way::Withdraw { canary } => withdraw::canary(hands, canary).await?,
            Way::SwitchBack { from, to, deployment } => self.switch_back(hands, from, to, deployment).await?,
            Way::Apply { release } => {
                let target = self.releases.iter().find(|one| one.number == *release);
                let target = target.ok_or_else(|| TaskError::failed(format!("release {release} is not on record")))?;
                match rolling::restore(live, hands, target).await {
                    Ok(()) => {}
                    Err(Halt::Task(error)) => return Err(error),
                    Err(Halt::Back(reason) | Halt::Stranded(reason)) => return Err(TaskError::failed(reason.text)),
                }
            }
            Way::Undo { deployment, replica_set } => {
                let set = live.objects.get(What::ReplicaSet, replica_set).await?;
                let mut template = set.map(|set| set["spec"]["template"].clone()).unwrap_or_default();
                if let Some(labels) = template["metadata"]["labels"].as_object_mut() {
                    labels.shift_remove(super::traffic::service::TEMPLATE_HASH);
                }
                let change = |now: &Json| Ok(Patch::new().change(now, "/spec/template", template.clone()));
                let act = || async { hands.change(What::Deployment, deployment, change).await.map(|_| ()) };
                effect(ctx, "undo", json!({"deployment": deployment}), act, || async { Ok(None) }).await?;
                if let Err(Halt::Back(reason) | Halt::Stranded(reason)) = live.ready("undone", deployment).await {
                    return Err(TaskError::failed(reason.text));
                }
            }
        }
        self.note(way, ctx).await
    }

    /// All traffic to the colour that stands by, in one write; then the colour that served stands down.
    async fn switch_back(&self, hands: &Hands<'_>, from: &str, to: &str, deployment: &str) -> Result<(), TaskError> {
        let objects = self.objects();
        let service = self.service().await?.ok_or_else(|| TaskError::failed("the service is gone"))?;
        let name = sides::name(&service).to_owned();
        let hash = match to {
            "" => {
                let live = objects.get(What::Deployment, deployment).await?.unwrap_or_default();
                sides::template_hash(&live, &objects.list(What::ReplicaSet, "").await?)
            }
            _ => None,
        };
        let act = || async {
            let switch = ServiceSwitch::new(&name).with_hash(hash.clone());
            let turn = |live: &Json| Ok(switch.switch(live, &switch.active(live)?, to)?);
            hands.change(What::Service, &name, turn).await?;
            if let Some(router) = self.releases.iter().rev().find_map(|release| release.router.clone()) {
                self.turn_router(hands, &router, to).await?;
            }
            standby::forget(hands, deployment).await
        };
        effect(hands.ctx, "switch-back", json!({"from": from, "to": to}), act, || async { Ok(None) }).await?;
        hands.phase("switch", &format!("\"{deployment}\" serves again"), None).await?;
        Ok(())
    }

    /// An Ingress or route that names the colours' own Services.
    async fn turn_router(&self, hands: &Hands<'_>, router: &(String, String), to: &str) -> Result<(), TaskError> {
        let (kind, name) = router;
        let what = match kind.as_str() {
            "Ingress" => What::Ingress,
            "HTTPRoute" => What::HttpRoute,
            _ => return Ok(()),
        };
        let services = hands.ground.list(What::Service, &format!("slipway.dev/app={}", self.app)).await?;
        let names: Vec<String> = services.iter().map(|one| sides::name(one).to_owned()).collect();
        let is_its = |service: &&Json| match to {
            "" => service["metadata"]["labels"].get(TRACK).is_none(),
            to => service["metadata"]["labels"][TRACK] == to,
        };
        let Some(target) = services.iter().find(is_its).map(|one| sides::name(one).to_owned()) else { return Ok(()) };
        let switch: Box<dyn Switch> = match what {
            What::Ingress => Box::new(IngressSwitch::new(name, names)),
            _ => Box::new(RouteSwitch::new(name, names)),
        };
        let turn = |live: &Json| {
            let active = switch.active(live)?;
            if active == target { Ok(Patch::new()) } else { Ok(switch.switch(live, &active, &target)?) }
        };
        hands.change(what, name, turn).await.map(|_| ())
    }

    /// The release that was taken back is no longer what serves, on record.
    async fn note(&self, way: &Way, ctx: &dyn TaskCtx) -> Result<(), TaskError> {
        let Some(serving) = release::serving(&self.releases) else { return Ok(()) };
        let gone: Vec<&Release> = match way {
            Way::Withdraw { .. } | Way::Undo { .. } => Vec::new(),
            Way::SwitchBack { .. } => vec![serving],
            Way::Apply { release } => {
                self.releases.iter().filter(|one| one.number > *release && one.status == Status::Deployed).collect()
            }
        };
        for one in gone {
            let record = Release { status: Status::RolledBack, at: ctx.now(), ..one.clone() };
            release::save(&self.cluster, &record).await.map_err(|e| failed(&e))?;
        }
        Ok(())
    }
}

fn rendered(release: Option<&Release>) -> Rendered {
    let Some(release) = release else { return Rendered::default() };
    Rendered {
        objects: release.objects.clone(),
        images: release.images.clone(),
        service: release.service.clone(),
        deployment: release.deployment.clone(),
        migrate: None,
    }
}

/// Takes the newest release of an application back to what served before it, for a stage of a run.
pub async fn take_back(
    cluster: &Cluster,
    namespace: &str,
    app: &str,
    deadline: Duration,
    ctx: &dyn TaskCtx,
) -> Result<(), TaskError> {
    let known = Known::of(cluster, namespace, app).await?;
    let way = known.way(None).await?;
    ctx.log(&format!("rollback of \"{app}\": {}", way.said())).await;
    let run = ctx.identity().run.as_ref().map(ToString::to_string).unwrap_or_default();
    known.go(&way, ctx, &format!("run {run} stage {}", ctx.identity().stage), deadline).await
}
