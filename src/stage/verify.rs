//! `verify:`. Checks that what was deployed works, and takes it back if not.

use std::time::Duration;

use crate::model::Node;

use super::settings::Reader;
use super::{Analysis, Checks};

/// What a failed verification means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VerifyOnFail {
    /// The deploys that the stage needs go back, last first.
    #[default]
    Rollback,
    /// A person is paged.
    Page,
    /// Only the stage fails.
    Fail,
}

/// The settings of `verify`.
#[derive(Debug, Clone, PartialEq)]
pub struct Verify {
    /// The application, where the stage needs no deploy.
    pub app: Option<String>,
    /// What is checked.
    pub checks: Checks,
    /// Gates.
    pub analysis: Option<Analysis>,
    /// Time to become true.
    pub timeout: Duration,
    /// How long it must stay so.
    pub watch: Duration,
    /// What a failure means.
    pub on_fail: VerifyOnFail,
}

impl Default for Verify {
    fn default() -> Self {
        Self {
            app: None,
            checks: Checks::default(),
            analysis: None,
            timeout: Duration::from_secs(120),
            watch: Duration::ZERO,
            on_fail: VerifyOnFail::Rollback,
        }
    }
}

const KEYS: &[&str] =
    &["app", "http", "tcp", "exec", "job", "pods", "hpa", "analysis", "backup", "timeout", "watch", "on-fail"];

impl Verify {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut Reader<'_>, node: &Node) -> Option<Self> {
        let settings = reader.map("verify", node, KEYS, &[])?;
        reader.not_yet(&settings, &["backup"]);
        let mut verify = Self { checks: Checks::within(reader, &settings), ..Self::default() };
        verify.app = settings.get("app").and_then(|node| reader.text("app", node));
        verify.analysis = settings.get("analysis").and_then(|node| Analysis::read(reader, node));
        if let Some(timeout) = settings.get("timeout").and_then(|node| reader.duration("timeout", node)) {
            verify.timeout = timeout;
        }
        if let Some(watch) = settings.get("watch").and_then(|node| reader.duration("watch", node)) {
            verify.watch = watch;
        }
        let on_fail =
            settings.get("on-fail").and_then(|node| reader.word("on-fail", node, &["rollback", "page", "fail"]));
        verify.on_fail = match on_fail {
            Some("page") => VerifyOnFail::Page,
            Some("fail") => VerifyOnFail::Fail,
            _ => VerifyOnFail::Rollback,
        };
        Some(verify)
    }
}
