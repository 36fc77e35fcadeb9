//! Incidents: what is written down when a release goes back, or should.

mod build;
mod markdown;
mod runbook;
mod sink;

#[cfg(test)]
mod incident_tests;

pub use build::{Chronicle, Incident, Moment, Rollback, Seen, Spoken, Told};
pub use markdown::markdown;
pub use runbook::Runbooks;
pub use sink::{IncidentSink, Setup};
