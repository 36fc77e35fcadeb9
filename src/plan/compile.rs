//! Pipeline to plan. Linear in stages and needs; jobs are shared with the pipeline, never copied.

use std::collections::HashMap;
use std::sync::Arc;

use crate::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::expr::{EvalError, Scope, Value};
use crate::id::{JobId, StageId};
use crate::model::{Data, Job, Matrix, MatrixSource, Pipeline, Text, codes};
use crate::span::Span;

use super::contexts::{self, Base, RUN_TIME_KEYS};
use super::ir::{Leg, Legs, Plan, PlanInputs, Selection, StageIndex, StagePlan};
use super::{expand, graph, hash, lint};

/// Makes the plan. Mistakes that only show with the inputs at hand (an undefined `--stage`, a matrix that has no legs,
/// cycles, contexts that are not allowed) come all at once.
pub fn compile(pipeline: Arc<Pipeline>, inputs: Arc<PlanInputs>) -> Result<(Plan, Diagnostics), Diagnostics> {
    let mut diagnostics = Diagnostics::new(pipeline.source.clone());
    let needs = resolve(&pipeline, &mut diagnostics);
    let order = match graph::order(&needs) {
        Ok(order) => order,
        Err(rings) => {
            rings.iter().for_each(|ring| report_ring(&pipeline, ring, &mut diagnostics));
            return Err(diagnostics);
        }
    };
    let mut dependents: Vec<Vec<StageIndex>> = vec![Vec::new(); needs.len()];
    for (stage, list) in needs.iter().enumerate() {
        for need in list {
            dependents[need.0 as usize].push(StageIndex(stage as u32));
        }
    }
    let selected = select(&pipeline, &inputs.selection, &needs, &dependents, &mut diagnostics);
    let base = Base::new(&inputs);
    let mut stages = Vec::with_capacity(needs.len());
    for (at, (needs, dependents)) in needs.into_iter().zip(dependents).enumerate() {
        let job = pipeline.jobs[at].clone();
        let id = StageId::from(job.id.value.as_str());
        let legs = if selected[at] {
            legs(&id, &job, &inputs.selection, &base, &mut diagnostics)
        } else {
            Legs::Fixed(vec![single(&id, &job)])
        };
        stages.push(StagePlan { id, job, needs, dependents, selected: selected[at], legs });
    }
    let plan = Plan {
        name: pipeline.name.as_ref().map_or_else(|| inputs.path.clone(), |name| name.value.clone()),
        run_name: run_name(&pipeline, &inputs, &base, &mut diagnostics),
        hash: hash::of(&pipeline, &inputs),
        stages,
        order,
        pipeline,
        inputs,
    };
    lint::check(&plan, &base, &mut diagnostics);
    diagnostics.sort();
    if diagnostics.has_errors() { Err(diagnostics) } else { Ok((plan, diagnostics)) }
}

/// Whether `matrix` reads what only a run knows: what its `needs` gave, or the run's number.
pub fn is_late(matrix: &Matrix) -> bool {
    let mut texts: Vec<&Text> = Vec::new();
    match &matrix.source {
        MatrixSource::Expr(text) => texts.push(text),
        MatrixSource::Map { vectors, include, exclude } => {
            let parts = vectors.iter().map(|(_, data)| data).chain(include).chain(exclude);
            parts.for_each(|data: &Data| data.texts(&mut texts));
        }
    }
    let late = |path: &Vec<String>| match path.as_slice() {
        [head, ..] if head == "needs" => true,
        [head, key, ..] => head == "github" && RUN_TIME_KEYS.contains(&key.to_ascii_lowercase().as_str()),
        _ => false,
    };
    texts.iter().flat_map(|text| text.template.expressions()).any(|expr| expr.paths().iter().any(late))
}

/// The legs of a late stage once its needs are done: `scope` holds `github`, `inputs`, `vars` and `needs`. Pure: the same
/// results give the same legs.
pub fn late_legs(plan: &Plan, stage: StageIndex, scope: &dyn Scope) -> Result<Vec<Leg>, EvalError> {
    let stage = plan.stage(stage);
    match stage.job.strategy.as_ref().and_then(|strategy| strategy.matrix.as_ref()) {
        Some(matrix) => all_legs(&stage.id, &stage.job, matrix, &plan.inputs.selection, scope),
        None => Ok(vec![single(&stage.id, &stage.job)]),
    }
}

/// What people call `leg`: a `name:` with expressions evaluated, a plain `name:` with the leg's values behind it.
/// `default` is what [`expand::expand`] called it. What is not known yet leaves the default.
pub fn name_leg(job: &Job, default: &str, scope: &dyn Scope) -> String {
    let Some(name) = &job.name else { return default.to_owned() };
    match name.template.as_literal() {
        Some("") => default.to_owned(),
        Some(literal) => match default.strip_prefix(job.id.value.as_str()) {
            Some(values) => format!("{literal}{values}"),
            None => literal.to_owned(),
        },
        None => {
            let unknown = |path: &Vec<String>| path.first().is_some_and(|head| scope.context(head).is_none());
            let known = !name.template.expressions().iter().any(|expr| expr.paths().iter().any(unknown));
            let text = if known { name.template.evaluate_text(scope).ok() } else { None };
            text.filter(|text| !text.is_empty()).unwrap_or_else(|| default.to_owned())
        }
    }
}

/// A scope with one more context in front.
struct With<'a> {
    below: &'a dyn Scope,
    name: &'static str,
    value: Value,
    strategy: Value,
}

impl Scope for With<'_> {
    fn context(&self, name: &str) -> Option<Value> {
        match name {
            "strategy" => Some(self.strategy.clone()),
            _ if name == self.name => Some(self.value.clone()),
            _ => self.below.context(name),
        }
    }
}

fn single(id: &StageId, job: &Job) -> Leg {
    let name = match job.name.as_ref().and_then(|name| name.template.as_literal()) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => id.to_string(),
    };
    Leg { job: JobId::new(id, None), name, matrix: Value::Null }
}

fn legs(id: &StageId, job: &Job, selection: &Selection, base: &Base, diagnostics: &mut Diagnostics) -> Legs {
    let Some(matrix) = job.strategy.as_ref().and_then(|strategy| strategy.matrix.as_ref()) else {
        let mut leg = single(id, job);
        if job.name.as_ref().is_some_and(|name| name.template.as_literal().is_none()) {
            leg.name = name_leg(job, id.as_str(), &base.scope());
        }
        return Legs::Fixed(vec![leg]);
    };
    if is_late(matrix) {
        return Legs::Late;
    }
    match all_legs(id, job, matrix, selection, &base.scope()) {
        Ok(legs) => Legs::Fixed(legs),
        Err(error) => {
            let message = format!("the matrix of stage \"{id}\" cannot be expanded: {}", error.message);
            diagnostics.push(Diagnostic::error(codes::MATRIX_VALUE, first_line(matrix.span, diagnostics), message));
            Legs::Fixed(Vec::new())
        }
    }
}

fn all_legs(
    id: &StageId,
    job: &Job,
    matrix: &Matrix,
    selection: &Selection,
    scope: &dyn Scope,
) -> Result<Vec<Leg>, EvalError> {
    let mut legs = chosen(expand::expand(id, matrix, scope)?, selection)?;
    let total = legs.len();
    for (index, leg) in legs.iter_mut().enumerate() {
        if job.name.is_some() {
            let strategy = contexts::strategy_of(job, index, total, scope)?;
            let scope = With { below: scope, name: "matrix", value: leg.matrix.clone(), strategy };
            leg.name = name_leg(job, &leg.name, &scope);
        }
    }
    Ok(legs)
}

/// The legs that `--matrix` leaves. A key that this matrix does not have says nothing of it.
fn chosen(legs: Vec<Leg>, selection: &Selection) -> Result<Vec<Leg>, EvalError> {
    if selection.matrix.is_empty() {
        return Ok(legs);
    }
    // Several values of one key are alternatives.
    let agrees = |leg: &Leg| {
        let Value::Object(object) = &leg.matrix else { return true };
        selection.matrix.iter().all(|(key, _)| {
            object.get(key).is_none_or(|value| {
                selection.matrix.iter().any(|(k, wanted)| {
                    k.eq_ignore_ascii_case(key)
                        && (value.loose_eq(&Value::from(wanted.as_str())) || value.to_text() == *wanted)
                })
            })
        })
    };
    let all = legs.len();
    let left: Vec<Leg> = legs.iter().filter(|leg| agrees(leg)).cloned().collect();
    if left.is_empty() && all > 0 {
        let wanted: Vec<String> = selection.matrix.iter().map(|(k, v)| format!("{k}:{v}")).collect();
        let names: Vec<&str> = legs.iter().take(10).map(|leg| leg.name.as_str()).collect();
        return Err(EvalError::new(format!(
            "no leg agrees with --matrix {}; there are {}{}",
            wanted.join(" "),
            names.join(", "),
            if all > 10 { ", ..." } else { "" }
        )));
    }
    Ok(left)
}

fn resolve(pipeline: &Pipeline, diagnostics: &mut Diagnostics) -> Vec<Vec<StageIndex>> {
    let jobs = &pipeline.jobs;
    let mut index: HashMap<&str, u32> = HashMap::with_capacity(jobs.len());
    for (at, job) in jobs.iter().enumerate() {
        if index.insert(job.id.value.as_str(), at as u32).is_some() {
            let message = format!("the stage \"{}\" is already defined", job.id.value);
            diagnostics.push(Diagnostic::error(codes::DUPLICATE_ID, job.id.span, message));
        }
    }
    let mut all = Vec::with_capacity(jobs.len());
    for job in jobs {
        let mut list = Vec::with_capacity(job.needs.len());
        for need in &job.needs {
            // The model has made needs spell each id as it is defined.
            match index.get(need.value.as_str()) {
                Some(at) => list.push(StageIndex(*at)),
                None => {
                    let message = format!("stage \"{}\" needs \"{}\", which is not defined", job.id.value, need.value);
                    diagnostics.push(Diagnostic::error(codes::UNKNOWN_NEED, need.span, message));
                }
            }
        }
        all.push(list);
    }
    all
}

fn report_ring(pipeline: &Pipeline, ring: &[StageIndex], diagnostics: &mut Diagnostics) {
    let jobs: Vec<&Arc<Job>> = ring.iter().take(20).map(|at| &pipeline.jobs[at.0 as usize]).collect();
    let names: Vec<&str> = jobs.iter().map(|job| job.id.value.as_str()).collect();
    let message = format!("these stages wait for each other: {}", names.join(", "));
    let span = jobs.first().map_or(Span::default(), |job| job.id.span);
    diagnostics.push(Diagnostic::error(codes::CYCLE, span, message).help("take one of these needs away"));
}

fn select(
    pipeline: &Pipeline,
    selection: &Selection,
    needs: &[Vec<StageIndex>],
    dependents: &[Vec<StageIndex>],
    diagnostics: &mut Diagnostics,
) -> Vec<bool> {
    let count = pipeline.jobs.len();
    if selection.stages.is_empty() && selection.from.is_empty() {
        return vec![true; count];
    }
    let mut find = |names: &[String], option: &str| -> Vec<StageIndex> {
        names.iter().filter_map(|name| find(pipeline, name, option, diagnostics)).collect()
    };
    let stages = find(&selection.stages, "--stage");
    let from = find(&selection.from, "--from");
    let before = graph::reach(count, &stages, |at| &needs[at.0 as usize]);
    let after = graph::reach(count, &from, |at| &dependents[at.0 as usize]);
    before.into_iter().zip(after).map(|(a, b)| a || b).collect()
}

fn find(pipeline: &Pipeline, name: &str, option: &str, diagnostics: &mut Diagnostics) -> Option<StageIndex> {
    let ids = || pipeline.jobs.iter().map(|job| job.id.value.as_str());
    let found = ids().position(|id| id == name).or_else(|| ids().position(|id| id.eq_ignore_ascii_case(name)));
    if found.is_none() {
        let span = pipeline.jobs.first().map_or(Span::default(), |job| job.id.span);
        let message = format!("{option} names \"{name}\", which is no stage of this file");
        let diagnostic = Diagnostic::error(codes::SELECTION, span, message);
        diagnostics.push(match suggest(name, ids()) {
            Some(near) => diagnostic.help(format!("did you mean \"{near}\"?")),
            None => {
                let known: Vec<&str> = ids().take(20).collect();
                let more = if pipeline.jobs.len() > 20 { ", ..." } else { "" };
                diagnostic.help(format!("defined are: {}{more}", known.join(", ")))
            }
        });
    }
    found.map(|at| StageIndex(at as u32))
}

fn run_name(pipeline: &Pipeline, inputs: &PlanInputs, base: &Base, diagnostics: &mut Diagnostics) -> String {
    if let Some(text) = &pipeline.run_name {
        match text.template.evaluate_text(&base.scope()) {
            Ok(name) if !name.trim().is_empty() => return name.trim().to_owned(),
            Ok(_) => {}
            Err(error) => {
                let message = format!("\"run-name\" has no value: {}", error.message);
                diagnostics.push(Diagnostic::error(codes::VALUE_LATE, text.span, message));
            }
        }
    }
    let event = base.github.get("event");
    let titles = [event.get("head_commit").get("message"), event.get("pull_request").get("title")];
    let title = titles.iter().map(Value::to_text).find_map(|t| t.lines().next().map(str::to_owned));
    title.filter(|title| !title.trim().is_empty()).unwrap_or_else(|| inputs.event_name.clone())
}

/// The part of `span` that stands on its first line, so that a message does not underline pages.
fn first_line(span: Span, diagnostics: &Diagnostics) -> Span {
    let text = &diagnostics.source.text;
    match text.get(span.start as usize..span.end as usize).and_then(|part| part.find('\n')) {
        Some(length) => Span::new(span.start as usize, span.start as usize + length),
        None => span,
    }
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
