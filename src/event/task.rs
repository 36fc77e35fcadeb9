//! What is said of tasks: how their things stand, their effects, what gates saw, facts of their way.

use serde::{Deserialize, Serialize};

use super::Sealed;

/// How what a task worked on stands, where that decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The release was taken back, and what served before serves again, healthy.
    RolledBack,
    /// It was refused before the first write.
    Preflight,
    /// Another deploy of the application is under way.
    Locked,
    /// Another hand has changed what the deploy set; it stopped.
    Drift,
    /// Taken back, or not, and not healthy: a person is paged.
    Unhealthy,
}

/// What is journaled of an effect: as it is, or sealed where a secret stands in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EffectData {
    /// As it is.
    Plain(serde_json::Value),
    /// JSON, sealed.
    Sealed(Sealed),
}

/// An order to a deploy under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Go on.
    Promote,
    /// Go on, past all steps that are left.
    PromoteFull,
    /// Take it back.
    Abort,
}

/// What a gate saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GateReading {
    /// Which: `errors`, `errors max-delta`, `p95`, `restarts`, a query's name.
    pub gate: String,
    /// What was measured, with its unit, for people (`31.3 %`).
    pub measured: String,
    /// The limit, likewise.
    pub limit: String,
    /// Requests (or samples) that it rests on.
    pub samples: u64,
    /// The bound that decided, for people (`99 % sure of at least 14.2 %`); empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub confidence: String,
    /// `P0` to `P3`.
    pub severity: String,
}

/// A fact about a task's way. Texts are masked by the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "kebab-case")]
pub enum TaskReport {
    /// A deploy came to a phase.
    Phase {
        /// The application.
        app: String,
        /// The environment, or the namespace where it has none.
        environment: String,
        /// `preflight`, `migrate`, `apply`, `ready`, `smoke`, `weight`, `switch`, `watch`, `promote`, `drain`, `done`, `rollback`, ...
        phase: String,
        /// In words.
        text: String,
        /// The new side's share of traffic in percent, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        weight: Option<u32>,
    },
    /// A gate decided.
    Gate {
        /// The application.
        app: String,
        /// `pass` or `fail`.
        verdict: String,
        /// What it saw.
        reading: GateReading,
    },
    /// A release is taken back.
    RollingBack {
        /// The application.
        app: String,
        /// The environment, or the namespace where it has none.
        environment: String,
        /// Why.
        reason: String,
    },
    /// A release was taken back.
    RolledBack {
        /// The application.
        app: String,
        /// The environment, or the namespace where it has none.
        environment: String,
        /// From which images.
        from: String,
        /// To which.
        to: String,
        /// Whether what serves now is healthy.
        healthy: bool,
    },
    /// A person must look.
    Paged {
        /// The application.
        app: String,
        /// The environment, or the namespace where it has none.
        environment: String,
        /// `P0` to `P3`.
        severity: String,
        /// Why.
        reason: String,
    },
    /// Another hand has changed what the deploy set.
    Drifted {
        /// The application.
        app: String,
        /// What, and how it stands now.
        text: String,
    },
    /// What a scan found in sum.
    Findings {
        /// The scanner.
        tool: String,
        /// By severity, gravest first.
        counts: Vec<(String, u64)>,
    },
    /// An incident report was written.
    Incident {
        /// Its path.
        path: String,
    },
    /// Anything else worth keeping.
    Note {
        /// In words.
        text: String,
    },
}
