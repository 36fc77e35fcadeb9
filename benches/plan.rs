//! What a plan of 100,000 stages with 500,000 needs costs: `cargo bench --bench plan`.
//!
//! Two processes of this program, so that neither sees the other's memory: `text` reads the file's text and plans it;
//! `pipeline` reads it, lets the kernel forget the peak of that, and plans. Times beside the targets; the peak is the
//! process's whole resident memory, with the pipeline itself in it.

use std::fmt::Write as _;
use std::process::{Command, exit};
use std::sync::Arc;
use std::time::Duration;

use slipway::clock::instant;
use slipway::model::{Pipeline, ReadOptions};
use slipway::plan::compile::compile;
use slipway::plan::ir::{Placement, PlanInputs, Selection};
use slipway::span::Source;
use slipway::stage;

const STAGES: usize = 100_000;
const NEEDS: usize = 5;

/// Stage `i` needs five before it: its neighbour and four that are spread over all that came earlier.
fn text() -> String {
    let mut text = String::with_capacity(STAGES * 96);
    text.push_str("name: large\nstages:\n");
    let mut random = 1_u64;
    for stage in 0..STAGES {
        let _ = write!(text, "  stage-{stage}:\n    run: make part-{stage}\n");
        let mut needs: Vec<usize> = Vec::with_capacity(NEEDS);
        if stage <= NEEDS {
            needs.extend(0..stage);
        } else {
            needs.push(stage - 1);
            while needs.len() < NEEDS {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let need = (random >> 33) as usize % stage;
                if !needs.contains(&need) {
                    needs.push(need);
                }
            }
        }
        if !needs.is_empty() {
            let names: Vec<String> = needs.iter().map(|need| format!("stage-{need}")).collect();
            let _ = writeln!(text, "    needs: [{}]", names.join(", "));
        }
    }
    text
}

fn read(text: String) -> Pipeline {
    let (pipeline, diagnostics) = stage::load(Source::new("slipway.yml", text), &ReadOptions::default());
    pipeline.unwrap_or_else(|| {
        eprintln!("the generated file is refused: {:?}", diagnostics.list.first());
        exit(1)
    })
}

fn plan(pipeline: Pipeline) -> usize {
    let inputs = PlanInputs {
        untrusted: false,
        file: "slipway.yml".into(),
        path: "slipway.yml".into(),
        event_name: "push".into(),
        github: serde_json::json!({"event_name": "push", "ref": "refs/heads/main", "sha": "0123", "event": {}}),
        inputs: serde_json::json!({}),
        vars: serde_json::json!({}),
        env: Vec::new(),
        secret_names: Vec::new(),
        selection: Selection::default(),
        placement: Placement::default(),
    };
    match compile(Arc::new(pipeline), Arc::new(inputs)) {
        Ok((plan, _)) => {
            let needs = plan.stages.iter().map(|stage| stage.needs.len()).sum();
            // Freeing it is not planning it.
            std::mem::forget(plan);
            needs
        }
        Err(diagnostics) => {
            eprintln!("the generated file cannot be planned: {:?}", diagnostics.list.first());
            exit(1)
        }
    }
}

/// A line of `/proc/self/status` in MiB.
fn memory(key: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(key)).unwrap_or_default();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse::<f64>().unwrap_or(f64::NAN) / 1024.0
}

fn report(what: &str, time: Duration, time_target: f64, memory: f64, memory_target: f64) {
    let word = |good: bool| if good { "met" } else { "MISSED" };
    let seconds = time.as_secs_f64();
    println!(
        "{what}: {seconds:.3} s (target {time_target} s, {}), peak {memory:.0} MiB (target {memory_target} MiB, {})",
        word(seconds <= time_target),
        word(memory <= memory_target)
    );
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.as_str() {
        "text" => {
            let text = text();
            println!("{STAGES} stages, {:.1} MiB of text", text.len() as f64 / f64::from(1 << 20));
            let start = instant();
            let pipeline = read(text);
            let read_in = start.elapsed();
            let needs = plan(pipeline);
            report(&format!("from text ({needs} needs)"), start.elapsed(), 3.0, memory("VmHWM"), 800.0);
            println!("  of that reading {:.3} s", read_in.as_secs_f64());
        }
        "pipeline" => {
            let pipeline = read(text());
            // 5: the peak is from now on.
            let _ = std::fs::write("/proc/self/clear_refs", "5");
            let before = memory("VmRSS");
            let start = instant();
            let needs = plan(pipeline);
            report(&format!("from a read pipeline ({needs} needs)"), start.elapsed(), 1.0, memory("VmHWM"), 400.0);
            println!(
                "  of that resident before {before:.0} MiB (the pipeline, and what the allocator keeps of reading)"
            );
        }
        _ => {
            let program = std::env::current_exe().expect("a running program has a path");
            for mode in ["text", "pipeline"] {
                let status = Command::new(&program).arg(mode).status().expect("this program starts again");
                if !status.success() {
                    exit(1);
                }
            }
        }
    }
}
