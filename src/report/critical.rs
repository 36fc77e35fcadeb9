//! Which stages made a run as long as it was.

use std::time::Duration;

use crate::report::run_view::RunView;

/// A stage of the critical path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// Its place in [`RunView::stages`].
    pub stage: usize,
    /// How long it stood ready before it began (for a free place, a group, a lost engine).
    pub waited: Duration,
    /// How long it took.
    pub took: Duration,
}

/// The chain that ends with the stage that ended last; each link waited for the one before, of all its needs the last to end.
/// Skipped stages are passed through. Costs what the chain's needs cost.
pub fn critical_path(view: &RunView) -> Vec<Link> {
    let ran = |i: &usize| view.stages[*i].started.is_some() && view.stages[*i].finished.is_some();
    let last = (0..view.stages.len()).filter(ran).max_by_key(|i| (view.stages[*i].finished, std::cmp::Reverse(*i)));
    let mut chain = Vec::new();
    let mut at = last;
    // A plan has no cycle, but records of a strange file might: never more links than stages.
    for _ in 0..view.stages.len() {
        let Some(current) = at else { break };
        let stage = &view.stages[current];
        let before = stage
            .needs
            .iter()
            .map(|n| *n as usize)
            .filter(|n| view.stages[*n].finished.is_some())
            .max_by_key(|n| (view.stages[*n].finished, std::cmp::Reverse(*n)));
        if let (Some(started), Some(took)) = (stage.started, stage.duration()) {
            let ready = before.and_then(|b| view.stages[b].finished).or(view.started).unwrap_or(started);
            chain.push(Link { stage: current, waited: started.since(ready), took });
        }
        at = before;
    }
    chain.reverse();
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Outcome;
    use crate::report::fixture::{Script, view};

    #[test]
    fn follows_the_need_that_ended_last() {
        let stages = view(&[
            ("lint", &[], &[]),
            ("test", &[], &[]),
            ("gate", &["lint", "test"], &[]),
            ("deploy", &["gate"], &[]),
            ("docs", &[], &[]),
        ]);
        let script = ["lint", "test", "docs"].iter().fold(Script::new(), |s, job| s.starting(job, 1));
        let script = script.wait(1000).job_end("lint", Outcome::Success).wait(2000).job_end("test", Outcome::Success);
        let script = script.skip("gate", "off").wait(500).starting("deploy", 1).job_end("docs", Outcome::Success);
        let run = script.wait(4000).job_end("deploy", Outcome::Success).run_end(Outcome::Success).fold(stages);
        let chain = critical_path(&run);
        let seen: Vec<_> =
            chain.iter().map(|l| (run.stages[l.stage].id.as_str(), l.waited.as_millis(), l.took.as_millis())).collect();
        assert_eq!(seen, [("test", 0, 3000), ("deploy", 500, 4000)]);
        assert!(critical_path(&view(&[("a", &[], &[])])).is_empty());
    }
}
