//! What concerns all jobs together: ids are unique, needs exist, nothing waits for itself or in a ring. Linear in jobs and
//! needs, without recursion.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, suggest};

use super::codes;
use super::{Dialect, Job};

/// So many names are compared for "did you mean" over a whole file; looking costs a distance each.
const SUGGESTION_BUDGET: usize = 300_000;

/// Rings longer than this are shortened in the message.
const SHOWN_IN_RING: usize = 20;

/// Checks `jobs`, and makes `needs` spell each id as it is defined, once.
pub(super) fn jobs(jobs: &mut [Arc<Job>], dialect: Dialect, diagnostics: &mut Diagnostics) {
    let what = match dialect {
        Dialect::Workflow => "job",
        Dialect::Stages => "stage",
    };
    let index = unique_ids(jobs, what, diagnostics);
    let edges = resolve(jobs, &index, what, diagnostics);
    rings(jobs, &edges, what, diagnostics);
}

fn own(job: &mut Arc<Job>) -> &mut Job {
    Arc::get_mut(job).expect("nobody shares a job before it is checked")
}

/// Ids in lower case to their job.
fn unique_ids(jobs: &[Arc<Job>], what: &str, diagnostics: &mut Diagnostics) -> HashMap<String, u32> {
    let mut index: HashMap<String, u32> = HashMap::with_capacity(jobs.len());
    for (i, job) in jobs.iter().enumerate() {
        let previous = *index.entry(job.id.value.to_ascii_lowercase()).or_insert(i as u32);
        if previous != i as u32 {
            let first = &jobs[previous as usize];
            let message = format!("the {what} \"{}\" is already defined (case does not count)", job.id.value);
            diagnostics.push(
                Diagnostic::error(codes::DUPLICATE_ID, job.id.span, message)
                    .related(first.id.span, "first defined here"),
            );
        }
    }
    index
}

/// For each job whom it needs.
fn resolve(
    jobs: &mut [Arc<Job>],
    index: &HashMap<String, u32>,
    what: &str,
    diagnostics: &mut Diagnostics,
) -> Vec<Vec<u32>> {
    let mut budget = SUGGESTION_BUDGET;
    let mut edges = Vec::with_capacity(jobs.len());
    let mut lower = String::new();
    for i in 0..jobs.len() {
        let needs = std::mem::take(&mut own(&mut jobs[i]).needs);
        let mut kept = Vec::with_capacity(needs.len());
        let mut targets: Vec<u32> = Vec::with_capacity(needs.len());
        let mut seen: HashSet<u32> = HashSet::new();
        for mut need in needs {
            lower.clear();
            lower.extend(need.value.chars().map(|c| c.to_ascii_lowercase()));
            match index.get(&lower) {
                Some(&target) if target as usize == i => {
                    let message = format!("the {what} \"{}\" needs itself", jobs[i].id.value);
                    diagnostics
                        .push(Diagnostic::error(codes::SELF_NEED, need.span, message).help("take it out of \"needs\""));
                }
                Some(&target) => {
                    // Few needs are looked through; many are remembered.
                    let new = if targets.len() < 16 {
                        !targets.contains(&target)
                    } else {
                        if seen.is_empty() {
                            seen.extend(targets.iter().copied());
                        }
                        seen.insert(target)
                    };
                    if new {
                        if need.value != jobs[target as usize].id.value {
                            need.value.clone_from(&jobs[target as usize].id.value);
                        }
                        targets.push(target);
                        kept.push(need);
                    }
                }
                None => {
                    let message =
                        format!("{what} \"{}\" needs \"{}\", which is not defined", jobs[i].id.value, need.value);
                    let mut diagnostic = Diagnostic::error(codes::UNKNOWN_NEED, need.span, message);
                    if budget >= jobs.len() {
                        budget -= jobs.len();
                        let itself = &jobs[i].id.value;
                        let names = jobs.iter().map(|job| job.id.value.as_str()).filter(|name| name != itself);
                        if let Some(near) = suggest(&need.value, names) {
                            diagnostic = diagnostic.help(format!("did you mean \"{near}\"?"));
                        } else if jobs.len() <= 20 {
                            let names: Vec<&str> = jobs.iter().map(|job| job.id.value.as_str()).collect();
                            diagnostic = diagnostic.help(format!("defined are: {}", names.join(", ")));
                        }
                    }
                    diagnostics.push(diagnostic);
                }
            }
        }
        own(&mut jobs[i]).needs = kept;
        edges.push(targets);
    }
    edges
}

/// Reports rings. Jobs are taken away from both ends of the graph until only those remain that lie on a ring or between
/// two; a walk along what remains must come back to itself.
fn rings(jobs: &[Arc<Job>], edges: &[Vec<u32>], what: &str, diagnostics: &mut Diagnostics) {
    let mut dependents: Vec<Vec<u32>> = vec![Vec::new(); jobs.len()];
    for (job, needs) in edges.iter().enumerate() {
        for need in needs {
            dependents[*need as usize].push(job as u32);
        }
    }
    let mut left = vec![true; jobs.len()];
    peel(edges, &dependents, &mut left);
    peel(&dependents, edges, &mut left);

    // 0: not seen; else the number of the walk that saw it.
    let mut walk_of = vec![0_u32; jobs.len()];
    let mut walk = 0;
    for start in 0..jobs.len() {
        if !left[start] || walk_of[start] != 0 {
            continue;
        }
        walk += 1;
        let mut path = Vec::new();
        let mut at = start;
        while walk_of[at] == 0 {
            walk_of[at] = walk;
            path.push(at);
            let next = edges[at].iter().find(|need| left[**need as usize]);
            at = *next.expect("what is left needs something that is left") as usize;
        }
        if walk_of[at] == walk {
            let begin = path.iter().position(|job| *job == at).expect("this walk has seen it");
            report_ring(jobs, &path[begin..], what, diagnostics);
        }
    }
}

/// Takes away, again and again, what waits for nothing that is left.
fn peel(needs: &[Vec<u32>], dependents: &[Vec<u32>], left: &mut [bool]) {
    let mut waits: Vec<usize> =
        needs.iter().map(|list| list.iter().filter(|need| left[**need as usize]).count()).collect();
    let mut ready: Vec<u32> =
        (0..needs.len() as u32).filter(|i| left[*i as usize] && waits[*i as usize] == 0).collect();
    while let Some(job) = ready.pop() {
        left[job as usize] = false;
        for dependent in &dependents[job as usize] {
            let dependent = *dependent as usize;
            waits[dependent] -= usize::from(waits[dependent] > 0);
            if waits[dependent] == 0 && left[dependent] {
                ready.push(dependent as u32);
            }
        }
    }
}

fn report_ring(jobs: &[Arc<Job>], ring: &[usize], what: &str, diagnostics: &mut Diagnostics) {
    let first = ring.iter().enumerate().min_by_key(|(_, job)| **job).map_or(0, |(at, _)| at);
    let ring: Vec<usize> = ring[first..].iter().chain(&ring[..first]).copied().collect();
    let mut names: Vec<&str> = ring.iter().take(SHOWN_IN_RING).map(|job| jobs[*job].id.value.as_str()).collect();
    if ring.len() > SHOWN_IN_RING {
        names.push("...");
    }
    names.push(&jobs[ring[0]].id.value);
    let message = format!("these {what}s wait for each other: {}", names.join(" -> "));
    let mut diagnostic = Diagnostic::error(codes::CYCLE, jobs[ring[0]].id.span, message);
    for (at, job) in ring.iter().enumerate().take(SHOWN_IN_RING) {
        let next = &jobs[ring[(at + 1) % ring.len()]].id.value;
        if let Some(need) = jobs[*job].needs.iter().find(|need| need.value == *next) {
            diagnostic = diagnostic.related(need.span, format!("\"{}\" needs \"{next}\"", jobs[*job].id.value));
        }
    }
    diagnostics.push(diagnostic.help("take one of these needs away"));
}
