//! The switch, in one write, and what is seen of it.

use serde_json::{Value as Json, json};

use super::BlueGreen;
use super::setup::object;
use crate::deliver::ground::What;
use crate::deliver::halt::Halt;
use crate::deliver::traffic::gateway::RouteSwitch;
use crate::deliver::traffic::ingress::IngressSwitch;
use crate::deliver::traffic::patch::Patch;
use crate::deliver::traffic::service::{self, ServiceSwitch, UNTRACKED};
use crate::deliver::traffic::{Switch, service::selector};
use crate::deliver::{converge, takeover};
use crate::stage::deploy::SwitchBy;
use crate::task::contract::{TaskError, effect};

impl BlueGreen<'_> {
    /// Sends all traffic to the new colour.
    pub(super) async fn switch(&self) -> Result<(), Halt> {
        let ctx = self.hands.ctx;
        if self.before.deployment.is_none() && self.before.service.is_none() {
            return Ok(self.open().await?);
        }
        let (from, to) = self.ends();
        let (what, name) = object(&self.settings.by);
        let mut tries = 0;
        loop {
            let key = if tries == 0 { "switch".to_owned() } else { format!("switch-{tries}") };
            let force = tries > 0;
            let act = || async {
                let active = self.turn(&from, &to, force).await?;
                if active == to {
                    let text = format!("{} \"{name}\" sends all traffic to \"{}\"", what.noun(), self.own.deployment);
                    self.hands.phase("switch", &text, Some(100)).await?;
                }
                Ok(active)
            };
            let observe = || async {
                let live = self.hands.must(what, name).await?;
                Ok(self.router().active(&live).ok().filter(|active| *active == to))
            };
            let intent = json!({"switch": format!("{} \"{name}\"", what.noun()), "from": from, "to": to});
            let active = effect(ctx, &key, intent, act, observe).await?;
            if active == to {
                return Ok(());
            }
            let text = format!(
                "{} \"{name}\" leads to \"{active}\", not to \"{from}\" as when this deploy began",
                what.noun()
            );
            takeover::met(&self.hands, &self.orders, &text).await?;
            tries += 1;
        }
    }

    /// Turns the router. Where it leads then: elsewhere when another hand had turned it, and `force` is not set.
    pub(super) async fn turn(&self, from: &str, to: &str, force: bool) -> Result<String, TaskError> {
        let (what, name) = object(&self.settings.by);
        let router = self.router();
        let turn = |live: &Json| -> Result<Patch, TaskError> {
            let active = router.active(live)?;
            if active != from && active != to && !force {
                return Ok(Patch::new());
            }
            Ok(router.switch(live, &active, to)?)
        };
        let Some(live) = self.hands.change(what, name, turn).await? else {
            return Err(TaskError::failed(format!(
                "there is no {} \"{name}\" in namespace \"{}\" any more; without it nothing can be switched",
                what.noun(),
                self.hands.about.namespace
            )));
        };
        Ok(router.active(&live)?)
    }

    /// What the router names before and after the switch.
    pub(super) fn ends(&self) -> (String, String) {
        match &self.settings.by {
            SwitchBy::Service(_) => (self.before.colour.clone(), self.before.next.clone()),
            SwitchBy::Ingress(_) | SwitchBy::Route(_) => {
                (self.before.service.clone().unwrap_or_default(), self.own.service.clone())
            }
        }
    }

    fn router(&self) -> Box<dyn Switch> {
        let (from, to) = self.ends();
        match &self.settings.by {
            SwitchBy::Service(name) => Box::new(ServiceSwitch::new(name).with_hash(self.before.hash.clone())),
            SwitchBy::Ingress(name) => Box::new(IngressSwitch::new(name, vec![from, to])),
            SwitchBy::Route(name) => Box::new(RouteSwitch::new(name, vec![from, to])),
        }
    }

    /// The first release: the Service is made, and leads to the only colour.
    async fn open(&self) -> Result<(), TaskError> {
        let act = || async {
            let services = self.hands.ground.side(UNTRACKED)?;
            for mut object in services.into_iter().filter(|object| crate::deliver::sides::name(object) == self.base()) {
                let selector = service::to_track(selector(&object), &self.before.next);
                object["spec"]["selector"] = Json::Object(selector);
                self.hands.apply(&object).await?;
            }
            let text = format!("service \"{}\" leads to \"{}\", the first", self.base(), self.own.deployment);
            self.hands.phase("switch", &text, Some(100)).await
        };
        effect(self.hands.ctx, "open", json!({"apply": self.base()}), act, || async { Ok(None) }).await
    }

    /// The Service inside the cluster leads to the colour too, and its endpoints show no other pods.
    pub(super) async fn follow(&self, key: &str, colour: &str) -> Result<(), TaskError> {
        if !matches!(self.settings.by, SwitchBy::Service(_)) {
            let switch = ServiceSwitch::new(self.base()).with_hash(self.before.hash.clone());
            let turn = |live: &Json| -> Result<Patch, TaskError> {
                let active = switch.active(live)?;
                Ok(switch.switch(live, &active, colour)?)
            };
            let act = || async { self.hands.change(What::Service, self.base(), turn).await.map(|_| ()) };
            effect(self.hands.ctx, key, json!({"select": self.base(), "track": colour}), act, || async { Ok(None) })
                .await?;
        }
        let deployment =
            if colour == self.before.next { Some(&self.own.deployment) } else { self.before.deployment.as_ref() };
        match deployment {
            Some(deployment) => converge::only(&self.hands, self.base(), deployment).await,
            None => Ok(()),
        }
    }
}
