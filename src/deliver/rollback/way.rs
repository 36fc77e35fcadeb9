//! A way back, as it is chosen, shown and kept on record.

use serde::{Deserialize, Serialize};

/// A way back. Serializable: after a crash the same way is gone on with, whatever is found then.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Way {
    /// The release that serves, where it is known.
    pub from: Option<u64>,
    /// The release on record that is to serve; none: nothing is on record.
    pub to: Option<u64>,
    /// A canary that goes.
    pub canary: Option<CanaryLeft>,
    /// A switch to the other side, which still stands.
    pub switch: Option<SwitchBack>,
    /// Whether objects come back: those of the release `to`, else the templates of `undo`.
    pub applies: bool,
    /// Templates that come back, where nothing is on record.
    pub undo: Vec<Undo>,
}

/// What a canary left.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CanaryLeft {
    /// Its Deployment.
    pub deployment: String,
    /// Its Service.
    pub service: Option<String>,
    /// The object that gives it traffic; none when pods are the weight.
    pub router: Option<Router>,
    /// The Deployment that gets all traffic again.
    pub stable: String,
    /// The size of that one.
    pub replicas: u32,
    /// Whether the stable side has no track, so that its Service may have been narrowed.
    pub is_untracked: bool,
    /// The Service that all sides share.
    pub base: String,
}

/// An object that divides traffic.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Router {
    /// `ingress`, `route` or `virtual service`.
    pub what: String,
    /// Its name.
    pub name: String,
    /// The Service that gets all traffic again.
    pub stable: String,
}

/// A switch back.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SwitchBack {
    /// `service`, `ingress` or `http route`.
    pub what: String,
    /// Its name.
    pub object: String,
    /// Where it leads: a track, or a Service.
    pub from: String,
    /// Where it is to lead.
    pub to: String,
    /// The track of the side that serves again.
    pub track: String,
    /// The Service that all sides share.
    pub base: String,
    /// The Deployment that serves again.
    pub old: String,
    /// The one that serves now.
    pub new: String,
    /// The template hash of the side that serves again, where it has no track.
    pub hash: Option<String>,
}

/// An earlier template.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Undo {
    /// The Deployment.
    pub deployment: String,
    /// The revision.
    pub revision: u64,
    /// The ReplicaSet that has it.
    pub replica_set: String,
    /// Its images by container.
    pub images: Vec<(String, String)>,
}

impl Way {
    /// How the application was deployed.
    pub fn strategy(&self) -> &'static str {
        match (&self.canary, &self.switch) {
            (Some(_), _) => "canary",
            (None, Some(_)) => "blue-green",
            (None, None) => "rolling",
        }
    }

    /// What is done, in order, for people.
    pub fn steps(&self) -> Vec<String> {
        let mut steps = Vec::new();
        if self.applies {
            match self.to {
                Some(number) => {
                    steps.push(format!("apply the objects of release {number} again, and wait for their pods"))
                }
                None => steps.extend(self.undo.iter().map(|one| {
                    let images: Vec<&str> = one.images.iter().map(|(_, image)| image.as_str()).collect();
                    format!(
                        "bring deployment \"{}\" back to revision {} ({})",
                        one.deployment,
                        one.revision,
                        images.join(", ")
                    )
                })),
            }
        }
        if let Some(canary) = &self.canary {
            steps.push(match &canary.router {
                Some(router) => {
                    format!("{} \"{}\" sends all traffic to \"{}\"", router.what, router.name, router.stable)
                }
                None => format!("deployment \"{}\" gets {} pods again", canary.stable, canary.replicas),
            });
            steps.push(format!("take the canary \"{}\" away", canary.deployment));
        }
        if let Some(switch) = &self.switch {
            steps.push(format!(
                "{} \"{}\" sends all traffic to \"{}\", in one write",
                switch.what, switch.object, switch.old
            ));
            steps.push(format!("scale \"{}\" to 0 after the time for requests under way", switch.new));
        }
        steps
    }
}
