//! The dry run for people: what would run, where, with which commands and environment, and what cannot be known yet.

use crate::plan::view::{
    ActionView, ContainerView, JobView, PlaceView, PlanView, Shown, StageView, StepView, Variable, When,
};
use crate::report::diagnostic::counted;
use crate::report::preview;
use crate::report::sanitize::visible;
use crate::report::style::{Ink, Style};

/// Words before values have this width.
const LABEL: usize = 12;

/// The whole plan. Stages stand in the order of the DAG.
pub fn text(plan: &PlanView, color: bool) -> String {
    let mut page = Page { style: Style::new(color), out: String::new(), depth: 0 };
    let style = page.style;
    let jobs: usize = plan.stages.iter().map(|stage| stage.jobs.as_ref().map_or(1, Vec::len)).sum();
    let subject = match (plan.reference.as_str(), plan.sha.get(..12)) {
        ("", _) | (_, None) => String::new(),
        (reference, Some(sha)) => format!(" on {reference} at {sha}"),
    };
    page.line(&format!(
        "{}  {}",
        style.paint(Ink::Bold, visible(&plan.name)),
        style.paint(Ink::Dim, visible(&plan.file))
    ));
    page.line(&format!(
        "{}{subject}: {}, {}, plan {}",
        plan.event,
        counted(plan.stages.len(), "stage"),
        counted(jobs, "job"),
        plan.hash.get(..12).unwrap_or_default()
    ));
    plan.stages.iter().for_each(|stage| page.stage(stage));
    if !plan.not_selected.is_empty() {
        page.out.push('\n');
        let mut names: Vec<&str> = plan.not_selected.iter().take(20).map(String::as_str).collect();
        if plan.not_selected.len() > names.len() {
            names.push("...");
        }
        page.line(&style.paint(Ink::Dim, format!("not selected: {}", names.join(", "))));
    }
    page.out
}

struct Page {
    style: Style,
    out: String,
    depth: usize,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.out.push_str(&"  ".repeat(self.depth));
        self.out.push_str(text);
        self.out.push('\n');
    }

    /// A word and what belongs to it; further lines stand below the first.
    fn field(&mut self, label: &str, text: &str) {
        let label = self.style.paint(Ink::Dim, format!("{label:LABEL$}"));
        let text = visible(text);
        let mut lines = text.lines();
        self.line(&format!("{label}{}", lines.next().unwrap_or_default()));
        for line in lines {
            self.line(&format!("{:LABEL$}{line}", ""));
        }
    }

    fn list(&mut self, label: &str, list: &[Shown]) {
        if !list.is_empty() {
            let texts: Vec<&str> = list.iter().map(|shown| shown.text.as_str()).collect();
            self.field(label, &texts.join(", "));
        }
    }

    fn optional(&mut self, label: &str, shown: Option<&Shown>) {
        if let Some(shown) = shown {
            self.field(label, &shown.text);
        }
    }

    fn variables(&mut self, label: &str, list: &[Variable]) {
        for (at, variable) in list.iter().enumerate() {
            self.field(if at == 0 { label } else { "" }, &format!("{}={}", variable.name, variable.value.text));
        }
    }

    /// Whether there is more to show.
    fn when(&mut self, when: &When) -> bool {
        match when {
            When::Runs => true,
            When::Skipped { why } => {
                self.field("skipped", why);
                false
            }
            When::Unknown { why } => {
                self.field("runs?", &format!("not known yet: {why}"));
                true
            }
        }
    }

    fn stage(&mut self, stage: &StageView) {
        self.out.push('\n');
        let needs = if stage.needs.is_empty() { String::new() } else { format!("  needs {}", stage.needs.join(", ")) };
        let ink = if matches!(stage.when, When::Skipped { .. }) { Ink::Dim } else { Ink::Cyan };
        let head = format!("{}{}", self.style.paint(ink, &stage.stage), self.style.paint(Ink::Dim, needs));
        self.line(&head);
        self.depth += 1;
        if let (Some(condition), false) = (&stage.condition, matches!(stage.when, When::Skipped { .. })) {
            self.field("if", condition);
        }
        if self.when(&stage.when) {
            self.jobs(stage);
        }
        self.depth -= 1;
    }

    fn jobs(&mut self, stage: &StageView) {
        if let Some(retry) = &stage.retry {
            self.field("retry", &format!("up to {} more, on {}", retry.max, retry.on.join(", ")));
        }
        self.optional("at once", stage.max_parallel.as_ref());
        match &stage.jobs {
            None => {
                let what = stage.matrix_waits_for.join(", ");
                self.field("jobs", &format!("not known yet: the matrix waits for {what}"));
                if let Some(job) = &stage.each_job {
                    self.job(job);
                }
            }
            Some(jobs) if jobs.len() == 1 && jobs[0].matrix.is_null() => {
                if jobs[0].name != stage.stage {
                    self.field("name", &jobs[0].name);
                }
                self.job(&jobs[0]);
            }
            Some(jobs) => {
                for job in jobs {
                    let name = self.style.paint(Ink::Bold, visible(&job.name));
                    self.line(&name);
                    self.depth += 1;
                    self.job(job);
                    self.depth -= 1;
                }
            }
        }
        if !stage.not_known_yet.is_empty() {
            self.field("not known", &stage.not_known_yet.join(", "));
        }
    }

    fn job(&mut self, job: &JobView) {
        self.place(&job.place);
        for service in &job.services {
            self.field("service", &format!("{}: {}", service.id, service.image.text));
            self.container(service);
        }
        self.optional("environment", job.environment.as_ref());
        self.optional("group", job.concurrency.as_ref());
        if job.timeout_minutes.text != "360" {
            let text = format!("{} minutes", job.timeout_minutes.text);
            self.field("timeout", &text);
        }
        self.optional("may fail", job.continue_on_error.as_ref());
        self.variables("env", &job.env);
        for cache in &job.cache {
            let paths: Vec<&str> = cache.paths.iter().map(|path| path.text.as_str()).collect();
            self.field("cache", &format!("{} under key {}", paths.join(", "), cache.key.text));
        }
        job.steps.iter().for_each(|step| self.step(step));
        self.list("artifacts", &job.artifacts);
        self.list("reports", &job.junit);
        self.variables("outputs", &job.outputs);
    }

    fn place(&mut self, place: &PlaceView) {
        let text = match (&place.runner, &place.image) {
            (Some(runner), Some(image)) => format!("{runner}, image {image} ({})", place.why),
            (Some(runner), None) => format!("{runner} ({})", place.why),
            (None, _) => format!("not known yet: {}", place.why),
        };
        self.field("where", &text);
        if let Some(container) = &place.container {
            self.container(container);
        }
        if place.own_network {
            self.field("network", "its own");
        }
    }

    fn container(&mut self, container: &ContainerView) {
        self.depth += 1;
        self.variables("env", &container.env);
        self.list("ports", &container.ports);
        self.list("volumes", &container.volumes);
        self.optional("options", container.options.as_ref());
        if !container.command.is_empty() {
            let words: Vec<&str> = container.command.iter().map(|word| word.text.as_str()).collect();
            self.field("command", &words.join(" "));
        }
        self.depth -= 1;
    }

    fn step(&mut self, step: &StepView) {
        let name = step.name.as_ref().map(|name| name.text.as_str()).or(step.id.as_deref()).unwrap_or_default();
        let how = match &step.action {
            ActionView::Run { shell, .. } => shell.text.clone(),
            ActionView::Uses { uses, .. } => format!("uses {uses}"),
            ActionView::Task { task, .. } => task.clone(),
        };
        let name = if name.is_empty() { String::new() } else { format!("{} ", visible(name)) };
        let head = format!(
            "{}{}",
            self.style.paint(Ink::Bold, name),
            self.style.paint(Ink::Dim, format!("[{}]", visible(&how)))
        );
        let label = self.style.paint(Ink::Dim, format!("{:LABEL$}", format!("step {}", step.number)));
        self.line(&format!("{label}{head}"));
        self.depth += 1;
        if let (Some(condition), false) = (&step.condition, matches!(step.when, When::Skipped { .. })) {
            self.field("if", condition);
        }
        if self.when(&step.when) {
            self.optional("timeout", step.timeout_minutes.as_ref());
            self.optional("may fail", step.continue_on_error.as_ref());
            self.variables("env", &step.env);
            match &step.action {
                ActionView::Run { run, working_directory, .. } => {
                    self.optional("in", working_directory.as_ref());
                    let script = visible(run.text.trim_end());
                    for line in script.lines() {
                        let line = self.style.paint(Ink::Green, format!("$ {line}"));
                        self.line(&line);
                    }
                }
                ActionView::Uses { with, .. } => self.variables("with", with),
                ActionView::Task { preview, .. } => {
                    let lines = preview.as_ref().map(preview::lines).unwrap_or_default();
                    for (ink, line) in lines {
                        let line = self.style.paint(ink, visible(&line));
                        self.line(&line);
                    }
                }
            }
        }
        self.depth -= 1;
    }
}
