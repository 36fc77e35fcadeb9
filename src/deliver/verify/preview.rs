//! The dry run of a verification.

use super::app;
use crate::clock::humanize;
use crate::stage::Verify;
use crate::stage::verify::VerifyOnFail;
use crate::task::contract::{Preview, PreviewLine, TaskSpec};

/// What would be checked.
pub(super) fn of_verify(spec: &TaskSpec, verify: &Verify) -> Preview {
    let mut preview = Preview::default();
    let url = spec.environment.as_ref().and_then(|environment| environment.url.as_deref());
    let deploys = app::deploys(spec);
    let of: Vec<&str> = deploys.iter().map(|deployed| deployed.app.as_str()).chain(verify.app.as_deref()).collect();
    if !of.is_empty() {
        preview = preview.effect(format!("verify {}", of.join(", ")));
    }
    let checks = &verify.checks;
    for check in &checks.http {
        let place = match (url, check.is_url(), check.from_namespace) {
            (_, true, _) => check.target.clone(),
            (Some(url), false, false) => {
                format!("{}/{}", url.trim_end_matches('/'), check.target.trim_start_matches('/'))
            }
            _ => format!("{} on the pods", check.target),
        };
        preview = preview.effect(format!("ask {place}"));
    }
    for address in &checks.tcp {
        preview = preview.effect(format!("connect to {address}"));
    }
    for check in &checks.exec {
        preview = preview.effect(format!("run in {}: {}", check.pod, check.run));
    }
    for job in &checks.jobs {
        preview = preview.effect(format!("run the job of {job}"));
    }
    if checks.pods_ready {
        preview = preview.effect("all pods ready, on the images asked for, without restarts".to_owned());
    }
    if checks.hpa_able {
        preview = preview.effect("the autoscaler able to scale".to_owned());
    }
    let gates = if verify.analysis.is_some() { ", with the gates of \"analysis\"" } else { "" };
    preview.lines.push(PreviewLine::Step {
        text: format!("good within {}, then for {}{gates}", humanize(verify.timeout), humanize(verify.watch)),
        milliseconds: u64::try_from(verify.watch.as_millis()).unwrap_or(u64::MAX),
    });
    preview.effect(match verify.on_fail {
        VerifyOnFail::Rollback => "when it fails: the deploys go back, last first",
        VerifyOnFail::Page => "when it fails: a person is paged",
        VerifyOnFail::Fail => "when it fails: only this stage fails",
    })
}
