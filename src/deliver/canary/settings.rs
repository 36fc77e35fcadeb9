//! What a canary is asked to be.

use std::time::Duration;

use crate::deliver::traffic::replicas::Bounds;
use crate::deliver::traffic::{HeaderRule, Marked};

/// The settings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings {
    /// Who divides traffic.
    pub traffic: Traffic,
    /// The canary's size.
    pub replicas: Replicas,
    /// Rising weights.
    pub steps: Vec<Step>,
}

/// Who divides traffic.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Traffic {
    /// Nobody: both sides are behind one Service, and their sizes are the weight.
    #[default]
    None,
    /// ingress-nginx.
    Nginx {
        /// The main Ingress.
        ingress: String,
        /// Requests that always go to the canary.
        marked: Marked,
    },
    /// The Gateway API.
    Gateway {
        /// The HTTPRoute.
        route: String,
        /// Requests that always go to the canary.
        header: Option<HeaderRule>,
    },
    /// Istio.
    Istio {
        /// The VirtualService.
        virtual_service: String,
        /// The DestinationRule of the stable host.
        destination_rule: Option<String>,
        /// Requests that always go to the canary.
        header: Option<HeaderRule>,
    },
}

/// The canary's size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Replicas {
    /// As the weight asks, at least 1.
    #[default]
    ByWeight,
    /// This.
    Fixed(u32),
    /// An autoscaler of its own.
    Autoscaled {
        /// At least.
        min: u32,
        /// At most.
        max: u32,
    },
}

impl Replicas {
    /// As bounds of a size by weight.
    pub fn bounds(self) -> Bounds {
        match self {
            Replicas::ByWeight => Bounds::default(),
            Replicas::Fixed(replicas) => Bounds { min: replicas, max: replicas },
            Replicas::Autoscaled { min, max } => Bounds { min, max },
        }
    }
}

/// One share of traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// In percent.
    pub weight: u32,
    /// How long it is watched; without it as the deploy says.
    pub watch: Option<Duration>,
    /// The weight where traffic rests when it fails; 0: the canary goes.
    pub on_fail: u32,
    /// Whether it waits for `deploy promote`.
    pub pause: bool,
}
