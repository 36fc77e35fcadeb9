//! The binary as a whole: 200 independent host jobs against a shell loop of the same commands, its start, its size.
//! `cargo bench --bench cli`. Jobs run in place and are journaled (NORMAL); runs and loops are interleaved, medians printed.

#![expect(clippy::unwrap_used, reason = "a bench that cannot run says so by failing")]

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use slipway::clock::instant;

const JOBS: usize = 200;
const REPETITIONS: usize = 15;
const STARTS: usize = 200;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let slipway = env!("CARGO_BIN_EXE_slipway");
    for (name, shell) in [("sh", ", shell: sh"), ("bash", "")] {
        let mut text = String::from("stages:\n");
        for i in 0..JOBS {
            writeln!(text, "  j{i}: {{run: 'true'{shell}}}").unwrap();
        }
        std::fs::write(folder.path().join(format!("{name}.yml")), text).unwrap();
    }
    let run = |file: &str| {
        let mut command = Command::new(slipway);
        command.args(["run", "--in-place", "--quiet", file]);
        timed(quiet(&mut command, folder.path()))
    };
    let script = format!("i=0; while [ $i -lt {JOBS} ]; do sh -c true; i=$((i+1)); done");
    let floor = || timed(quiet(Command::new("sh").args(["-c", &script]), folder.path()));
    // The first run makes the state folder.
    run("sh.yml");
    let (mut sh, mut bash, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        floors.push(floor());
        sh.push(run("sh.yml"));
        bash.push(run("bash.yml"));
    }
    let (sh, bash, floor) = (median(sh), median(bash), median(floors));
    println!(
        "{JOBS} host jobs (shell: sh, in place, journaled NORMAL) / shell loop: {:.2} ({sh:?} / {floor:?}), target 1.0",
        ratio(sh, floor)
    );
    println!(
        "{JOBS} host jobs (bash, the default)                      / shell loop: {:.2} ({bash:?})",
        ratio(bash, floor)
    );
    let (mut starts, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        starts.push(timed(quiet(Command::new(slipway).arg("--version"), folder.path())));
        floors.push(timed(quiet(&mut Command::new("true"), folder.path())));
    }
    let (start, floor) = (median(starts), median(floors));
    println!("--version over `true`: {:?} ({start:?} - {floor:?}), target 5 ms", start.saturating_sub(floor));
    println!("binary: {:.1} MiB", std::fs::metadata(slipway).unwrap().len() as f64 / (1 << 20) as f64);
}

fn quiet<'a>(command: &'a mut Command, folder: &Path) -> &'a mut Command {
    command.current_dir(folder).env("SLIPWAY_HOME", folder.join("state")).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null())
}

fn timed(command: &mut Command) -> Duration {
    let begin = instant();
    let status = command.status().unwrap();
    let took = begin.elapsed();
    assert!(status.success(), "{command:?} failed");
    took
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn ratio(ours: Duration, floor: Duration) -> f64 {
    ours.as_secs_f64() / floor.as_secs_f64()
}
