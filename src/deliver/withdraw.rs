//! A canary whose deploy is gone: traffic leaves it, then everything that was made for it goes.

use serde_json::{Value as Json, json};

use super::ground::What;
use super::hands::Hands;
use super::sides;
use super::traffic::gateway::Gateway;
use super::traffic::istio::Istio;
use super::traffic::nginx::Nginx;
use super::traffic::service::TRACK;
use super::traffic::{End, Sides, Weighing};
use crate::stage::deploy::Marked;
use crate::task::contract::{TaskError, effect};

/// Takes the canary `deployment` away.
pub async fn canary(hands: &Hands<'_>, deployment: &str) -> Result<(), TaskError> {
    let app = hands.about.app.clone();
    let own = format!("slipway.dev/app={app},{TRACK}={}", super::canary::TRACK);
    let services = hands.ground.list(What::Service, &own).await?;
    let canary = services.first().map(|service| sides::name(service).to_owned());
    let stable = hands.about.service.clone();
    let act = || async {
        if let Some(canary) = &canary {
            for (what, name) in routers(hands, canary).await? {
                leave(hands, what, &name, Sides { stable: stable.clone(), canary: canary.clone() }).await?;
            }
        }
        Ok(())
    };
    effect(hands.ctx, "withdraw", json!({"canary": deployment}), act, || async { Ok(None) }).await?;
    hands.phase("rollback", &format!("no traffic goes to \"{deployment}\" any more"), Some(0)).await?;
    super::drain::old_side(hands, "withdraw-drain", deployment).await?;
    let act = || async {
        for what in [What::Autoscaler, What::Deployment, What::Budget, What::Service] {
            for object in hands.ground.list(what, &own).await? {
                hands.delete(what, sides::name(&object)).await?;
            }
        }
        Ok(())
    };
    effect(hands.ctx, "withdrawn", json!({"delete": deployment}), act, || async { Ok(None) }).await
}

/// Every router's object that names the canary's Service.
async fn routers(hands: &Hands<'_>, canary: &str) -> Result<Vec<(What, String)>, TaskError> {
    let mut found = Vec::new();
    for what in [What::Ingress, What::HttpRoute, What::VirtualService] {
        // A cluster without these kinds has no routers of them.
        let Ok(objects) = hands.ground.list(what, "").await else { continue };
        for object in objects {
            if object["spec"].to_string().contains(&format!("\"{canary}\"")) || is_host(&object, canary) {
                found.push((what, sides::name(&object).to_owned()));
            }
        }
    }
    Ok(found)
}

fn is_host(object: &Json, canary: &str) -> bool {
    object["spec"].to_string().contains(&format!("\"{canary}."))
}

/// Takes the canary out of one router's object.
async fn leave(hands: &Hands<'_>, what: What, name: &str, sides: Sides) -> Result<(), TaskError> {
    let weighing: Box<dyn Weighing> = match what {
        What::Ingress => {
            // The canary's own Ingress is named after the main one.
            let main = name.strip_suffix("-canary").unwrap_or(name);
            Box::new(Nginx::new(main, sides, Marked::default(), hands.ground.labels()))
        }
        What::HttpRoute => Box::new(Gateway::new(name, sides, None)),
        _ => Box::new(Istio::new(name, &hands.about.app, sides, None)),
    };
    let Some(live) = hands.get(what, name).await? else { return Ok(()) };
    if weighing.weight(&live).is_none() {
        return Ok(());
    }
    let live = hands.change(what, name, |live| Ok(weighing.back(live, 0)?)).await?.unwrap_or(live);
    match weighing.end(&live)? {
        End::Delete => hands.delete(what, name).await,
        End::Patch(_) => {
            let change = |live: &Json| match weighing.end(live)? {
                End::Patch(patch) => Ok(patch),
                End::Delete => Ok(super::traffic::Patch::new()),
            };
            hands.change(what, name, change).await.map(|_| ())
        }
    }
}
