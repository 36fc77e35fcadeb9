//! The engine by itself: journaled no-op steps a second on the scripted runner, with the real database.
//! `cargo bench --bench engine`. Every step is two records and a wait for a commit; the mode of the journal is printed.

#![expect(dead_code, reason = "the tests' harness is shared, and a bench needs little of it")]
#![expect(clippy::unwrap_used, reason = "a bench that cannot run says so by failing")]

use std::fmt::Write as _;

use slipway::clock::instant;

#[path = "../tests/engine/case.rs"]
mod case;

const JOBS: usize = 1000;
const STEPS: usize = 20;
const ROUNDS: usize = 3;

fn main() {
    let mut text = String::from("stages:\n");
    for job in 0..JOBS {
        write!(text, "  j{job}: {{steps: [").unwrap();
        (0..STEPS).for_each(|_| text.push_str("{run: 'true'}, "));
        text.push_str("]}\n");
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let begin = instant();
        let done = runtime.block_on(case::Case::new(&text).jobs(64).run());
        assert_eq!(done.runner.started().len(), JOBS * STEPS);
        best = best.min(begin.elapsed().as_secs_f64());
    }
    let steps = (JOBS * STEPS) as f64 / best;
    println!(
        "journaled no-op steps: {steps:.0} a second (reading, planning and reading back included; journal NORMAL), target 5,000"
    );
}
