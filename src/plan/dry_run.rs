//! Makes the dry run from a plan. Pure: whether Docker answers, or an image is there, is not asked.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::expr::Value;
use crate::id::JobId;
use crate::model::{Container, Data, DataKind, Job, Late, Pipeline, RetryOn, Step, StepAction, Text};

use super::contexts::strategy_of;
use super::ir::{Leg, Legs, Plan, RunnerKind, StageIndex, StagePlan};
use super::known::{Known, one_line};
use super::placement::place;
use super::scope::StatusView;
use super::view::{
    ActionView, CacheView, ContainerView, JobView, PlaceView, PlanView, RetryView, Shown, StageView, StepView,
    Variable, When,
};

/// GitHub's limit for a job.
const DEFAULT_TIMEOUT: &str = "360";

/// Texts of one view together have about this many bytes: the legs of a matrix repeat what a stage says.
const MAX_TEXT: usize = 64 << 20;

/// Beyond [`MAX_TEXT`] no text is longer.
const CUT: usize = 100;

/// The dry run of `plan`. Linear in stages, jobs and needs.
pub fn view(plan: &Plan) -> PlanView {
    let mut known = Known::new(&plan.inputs);
    let mut env = known.add_env(&plan.pipeline.env);
    for (name, value) in &plan.inputs.env {
        env.retain(|variable| variable.name != *name);
        env.push(known.add_variable(name, Shown::plain(value)));
    }
    known.publish_env();
    let mut left = MAX_TEXT;
    let mut skipped: HashMap<StageIndex, bool> = HashMap::new();
    let mut stages = Vec::new();
    let mut not_selected = Vec::new();
    for at in &plan.order {
        let stage = plan.stage(*at);
        if !stage.selected {
            not_selected.push(stage.id.to_string());
            continue;
        }
        // All ancestors count, not only direct needs; the order has seen to them already.
        let before = stage.needs.iter().find(|need| skipped.get(need).is_some_and(|skipped| *skipped)).copied();
        let one = one_stage(plan, *at, &known, &env, before, &mut left);
        skipped.insert(*at, matches!(one.when, When::Skipped { .. }) || before.is_some());
        stages.push(one);
    }
    let github = |key: &str| plan.inputs.github[key].as_str().unwrap_or_default().to_owned();
    PlanView {
        name: plan.name.clone(),
        file: plan.inputs.file.clone(),
        run_name: plan.run_name.clone(),
        event: plan.inputs.event_name.clone(),
        reference: github("ref"),
        sha: github("sha"),
        hash: plan.hash.clone(),
        stages,
        not_selected,
    }
}

fn one_stage(
    plan: &Plan,
    at: StageIndex,
    known: &Known,
    env: &[Variable],
    before: Option<StageIndex>,
    left: &mut usize,
) -> StageView {
    let stage = plan.stage(at);
    let job = &stage.job;
    let mut waits = BTreeSet::new();
    let when = stage_when(plan, at, known, before);
    let mut maker = Maker { plan, stage, waits: &mut waits, left };
    let (jobs, each_job, matrix_waits_for) = match &stage.legs {
        Legs::Fixed(legs) => {
            let one = |(index, leg): (usize, &Leg)| maker.job(leg, Some((index, legs.len())), known, env);
            (Some(legs.iter().enumerate().map(one).collect()), None, Vec::new())
        }
        Legs::Late => {
            let id = stage.id.to_string();
            let leg = Leg { job: JobId::new(&stage.id, None), name: id, matrix: Value::Null };
            let each = maker.job(&leg, None, known, env);
            let needs = matrix_waits(job);
            waits.extend(needs.iter().cloned());
            (None, Some(Box::new(each)), needs)
        }
    };
    let max_parallel = job.strategy.as_ref().and_then(|strategy| strategy.max_parallel.as_ref());
    StageView {
        stage: stage.id.to_string(),
        needs: stage.needs.iter().map(|need| plan.stage(*need).id.to_string()).collect(),
        condition: job.condition.as_ref().map(|condition| condition.expr.source.trim().to_owned()),
        when,
        jobs,
        each_job,
        matrix_waits_for,
        max_parallel: max_parallel.map(|max| late(known, max)),
        retry: job.retry.as_ref().map(|retry| RetryView {
            max: retry.max.value,
            on: retry.on.iter().map(|on| word(*on).to_owned()).collect(),
        }),
        not_known_yet: waits.into_iter().collect(),
    }
}

fn word(on: RetryOn) -> &'static str {
    match on {
        RetryOn::Lost => "lost",
        RetryOn::Timeout => "timeout",
        RetryOn::Failure => "failure",
    }
}

/// Whether the stage runs. `before` is a stage before it that is skipped.
fn stage_when(plan: &Plan, at: StageIndex, known: &Known, before: Option<StageIndex>) -> When {
    let condition = plan.stage(at).job.condition.as_ref();
    let asks_status = condition.is_some_and(|condition| condition.expr.uses_status_function());
    if let (Some(before), false) = (before, asks_status) {
        return When::Skipped { why: format!("\"{}\" before it is skipped", plan.stage(before).id) };
    }
    if condition.is_none() {
        return When::Runs;
    }
    // Names matter only for `success('build')`: whatever is quoted may be one.
    let source = condition.filter(|_| asks_status).map_or("", |condition| &condition.expr.source);
    let results = |result: &str| -> HashMap<String, String> {
        source.split('\'').skip(1).step_by(2).map(|name| (name.to_owned(), result.to_owned())).collect()
    };
    let good = StatusView::Ancestors {
        success: before.is_none(),
        failure: false,
        cancelled: false,
        results: results("success"),
    };
    let bad = StatusView::Ancestors { success: false, failure: true, cancelled: false, results: results("failure") };
    known.when(condition, &good, &bad)
}

fn matrix_waits(job: &Job) -> Vec<String> {
    let mut names = BTreeSet::new();
    super::walk::job(job, &mut |_, key, piece| {
        if let ("matrix" | "value" | "key", super::walk::Piece::Text(text)) = (key, piece) {
            for path in text.template.expressions().iter().flat_map(|expr| expr.paths()) {
                if path.first().is_some_and(|head| head == "needs") {
                    names.insert(path.join("."));
                }
            }
        }
    });
    names.into_iter().collect()
}

fn late<T: ToString>(known: &Known, value: &Late<T>) -> Shown {
    match value {
        Late::Known(value) => Shown::plain(value.value.to_string()),
        Late::Expr(text) => known.text(&text.template),
    }
}

/// Makes the views of one stage, and remembers what they wait for.
struct Maker<'a> {
    plan: &'a Plan,
    stage: &'a StagePlan,
    waits: &'a mut BTreeSet<String>,
    /// Bytes of text that may still be shown.
    left: &'a mut usize,
}

impl Maker<'_> {
    /// `place` is the leg's index and the number of legs; none where the matrix waits.
    fn job(&mut self, leg: &Leg, place: Option<(usize, usize)>, known: &Known, env: &[Variable]) -> JobView {
        let job: &Arc<Job> = &self.stage.job;
        let mut known = known.clone();
        if let Some((index, total)) = place {
            known.set("matrix", leg.matrix.clone());
            let strategy = strategy_of(job, index, total, &known.scope());
            if let Ok(strategy) = strategy {
                known.set("strategy", strategy);
            }
        }
        let place = self.place(job, &known);
        let size: usize = env.iter().map(|variable| variable.name.len() + variable.value.text.len()).sum();
        let mut all = if self.spend(size) { env.to_vec() } else { Vec::new() };
        let own = known.add_env(&job.env);
        let names: HashSet<&str> = own.iter().map(|variable| variable.name.as_str()).collect();
        all.retain(|earlier| !names.contains(earlier.name.as_str()));
        let own = self.variables(own);
        all.extend(own);
        all.iter().for_each(|variable| self.see(&variable.value));
        let container = place.runner.as_deref() == Some("docker");
        JobView {
            job: leg.job.to_string(),
            name: leg.name.clone(),
            matrix: leg.matrix.to_json(),
            services: job.services.iter().map(|s| self.container(&s.id.value, &s.container, &known)).collect(),
            env: all,
            timeout_minutes: match &job.timeout_minutes {
                Some(minutes) => self.seen(late(&known, minutes)),
                None => Shown::plain(DEFAULT_TIMEOUT),
            },
            continue_on_error: job.continue_on_error.as_ref().map(|flag| self.seen(late(&known, flag))),
            concurrency: job.concurrency.as_ref().map(|concurrency| self.text(&concurrency.group, &known)),
            environment: job.environment.as_ref().map(|environment| self.text(&environment.name, &known)),
            steps: job.steps.iter().enumerate().map(|(at, step)| self.step(at, step, &known, container)).collect(),
            artifacts: job.artifacts.iter().map(|artifact| self.text(&artifact.pattern, &known)).collect(),
            cache: job
                .cache
                .iter()
                .map(|cache| CacheView {
                    key: self.text(&cache.key, &known),
                    paths: self.texts(&cache.paths, &known),
                    restore_keys: self.texts(&cache.restore_keys, &known),
                })
                .collect(),
            junit: self.texts(&job.reports.junit, &known),
            outputs: job
                .outputs
                .iter()
                .map(|(name, value)| Variable {
                    name: name.value.clone(),
                    value: self.shorten(known.text(&value.template)),
                })
                .collect(),
            place,
        }
    }

    fn place(&mut self, job: &Job, known: &Known) -> PlaceView {
        let image = job.container.as_ref().map(|container| self.text(&container.image, known));
        let own_network = job.own_network || !job.services.is_empty();
        if let Some(waits) = image.as_ref().filter(|image| !image.waits_for.is_empty()) {
            let why = format!("its image waits for {}", waits.waits_for.join(", "));
            return PlaceView { why, own_network, ..PlaceView::default() };
        }
        match place(job, &self.plan.inputs.placement, &known.scope()) {
            Ok(placed) => {
                let runner = match placed.kind {
                    RunnerKind::Host => "host",
                    RunnerKind::Docker => "docker",
                    RunnerKind::Scripted => "scripted",
                    RunnerKind::Engine => "slipway",
                };
                let own = job.container.as_ref().filter(|_| placed.image.is_some());
                let container = own.map(|container| self.container("", container, known));
                let plain = container.as_ref().is_some_and(|container| {
                    *container == ContainerView { image: container.image.clone(), ..ContainerView::default() }
                });
                PlaceView {
                    runner: Some(runner.to_owned()),
                    image: placed.image,
                    why: placed.why,
                    container: container.filter(|_| !plain),
                    own_network: own_network && placed.kind == RunnerKind::Docker,
                }
            }
            Err(why) => PlaceView { why, own_network, ..PlaceView::default() },
        }
    }

    fn container(&mut self, id: &str, container: &Container, known: &Known) -> ContainerView {
        let env = known.clone().add_env(&container.env);
        let env = self.variables(env);
        ContainerView {
            id: id.to_owned(),
            image: self.text(&container.image, known),
            env,
            ports: self.texts(&container.ports, known),
            volumes: self.texts(&container.volumes, known),
            options: container.options.as_ref().map(|options| self.text(options, known)),
            command: self.texts(&container.command, known),
        }
    }

    fn step(&mut self, at: usize, step: &Step, known: &Known, container: bool) -> StepView {
        let mut known = known.clone();
        let env = known.add_env(&step.env);
        let env = self.variables(env);
        let when = match &step.condition {
            None => When::Runs,
            condition => known.when(condition.as_ref(), &StatusView::Job("success"), &StatusView::Job("failure")),
        };
        let pipeline: &Pipeline = &self.plan.pipeline;
        let (job_defaults, file_defaults) = (&self.stage.job.defaults, &pipeline.defaults);
        let action = match &step.action {
            StepAction::Run { script, shell, working_directory } => {
                let shell = shell.as_ref().or(job_defaults.shell.as_ref()).or(file_defaults.shell.as_ref());
                let folder = working_directory
                    .as_ref()
                    .or(job_defaults.working_directory.as_ref())
                    .or(file_defaults.working_directory.as_ref());
                ActionView::Run {
                    run: self.text(script, &known),
                    shell: match shell {
                        Some(shell) => self.text(shell, &known),
                        None => Shown::plain(if container { "sh -e" } else { "bash -e" }),
                    },
                    working_directory: folder.map(|folder| self.text(folder, &known)),
                }
            }
            StepAction::Uses { uses, with } => ActionView::Uses {
                uses: uses.value.clone(),
                with: with
                    .iter()
                    .map(|(name, data)| Variable { name: name.value.clone(), value: self.data(data, &known) })
                    .collect(),
            },
            StepAction::Task { key } => ActionView::Task { task: key.clone(), preview: None },
        };
        StepView {
            number: at + 1,
            id: step.id.as_ref().map(|id| id.value.clone()),
            name: step.name.as_ref().map(|name| self.text(name, &known)),
            condition: step.condition.as_ref().map(|condition| condition.expr.source.trim().to_owned()),
            when,
            env,
            action,
            timeout_minutes: step.timeout_minutes.as_ref().map(|minutes| self.seen(late(&known, minutes))),
            continue_on_error: step.continue_on_error.as_ref().map(|flag| self.seen(late(&known, flag))),
        }
    }

    fn data(&mut self, data: &Data, known: &Known) -> Shown {
        let mut texts = Vec::new();
        data.texts(&mut texts);
        match (&data.kind, texts.as_slice()) {
            (DataKind::Text(text), _) => self.text(text, known),
            (_, []) => Shown::plain(data.evaluate(&known.scope()).map(|value| one_line(&value)).unwrap_or_default()),
            (_, texts) => {
                let waits = texts.iter().flat_map(|text| self.text(text, known).waits_for).collect::<BTreeSet<_>>();
                let value = data.evaluate(&known.scope()).map(|value| one_line(&value));
                Shown {
                    text: value.unwrap_or_else(|_| "${{ ... }}".to_owned()),
                    waits_for: waits.into_iter().collect(),
                }
            }
        }
    }

    fn text(&mut self, text: &Text, known: &Known) -> Shown {
        self.seen(known.text(&text.template))
    }

    fn texts(&mut self, list: &[Text], known: &Known) -> Vec<Shown> {
        list.iter().map(|text| self.text(text, known)).collect()
    }

    fn variables(&mut self, list: Vec<Variable>) -> Vec<Variable> {
        list.into_iter().map(|variable| Variable { value: self.seen(variable.value), ..variable }).collect()
    }

    fn seen(&mut self, shown: Shown) -> Shown {
        self.see(&shown);
        self.shorten(shown)
    }

    fn shorten(&mut self, mut shown: Shown) -> Shown {
        if !self.spend(shown.text.len()) && shown.text.len() > CUT {
            let end = (0..=CUT).rev().find(|at| shown.text.is_char_boundary(*at)).unwrap_or_default();
            shown.text.truncate(end);
            shown.text.push_str("...");
            // What was cut is let go, not kept as room.
            shown.text.shrink_to_fit();
        }
        shown
    }

    /// Whether there is room for `size` bytes.
    fn spend(&mut self, size: usize) -> bool {
        let fits = size <= *self.left;
        if fits {
            *self.left -= size;
        }
        fits
    }

    fn see(&mut self, shown: &Shown) {
        self.waits.extend(shown.waits_for.iter().cloned());
    }
}
