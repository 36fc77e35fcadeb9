//! Scans: a scanner runs in the stage's sandbox, its report is read into one model of findings, and a gate decides.
//!
//! What each scanner is asked and how its report is read stands in a file of its own (`gitleaks`, `trivy`, `sarif`); all
//! else works on [`Finding`]s. A scanner that did not run, or whose report is missing or cut off, is an error and never
//! "nothing found".

mod finding;
mod gate;
mod gitleaks;
mod ignore;
mod known;
mod report;
mod sarif;
mod table;
mod task;
mod trivy;
mod write;

pub use finding::{Finding, FindingSeverity, counts};
pub use gate::{Sifted, Verdict, sift};
pub use ignore::{Ignore, IgnoreEntry};
pub use known::{ReportError, Scanned};
pub use task::ScanTask;
