//! The typed stages (`scan`, `build`, `deploy`, ...). Until they are built their settings are read, checked for unknown
//! keys, and refused by name when they are to run: a file that is written for them is valid today.

pub mod analysis;
mod approval;
mod backup;
mod build;
pub mod checks;
pub mod deploy;
mod environment;
mod incident;
mod notify;
mod release;
mod rules;
mod scan;
mod schema;
pub mod settings;
mod tables;
pub mod verify;

use crate::diagnostic::{Diagnostic, Diagnostics, suggest};
use crate::model::{Dialect, Job, Node, NodeKind, Pipeline, ReadOptions, codes};
use crate::span::Source;

pub use analysis::Analysis;
pub use approval::{Approval, OnReject, filled};
pub use backup::{Backup, Compress, Postgres, Target, VerifyBackup};
pub use build::Build;
pub use checks::Checks;
pub use deploy::{Deploy, Deployed};
pub use environment::{Cluster, Environment, LentSecrets};
pub use incident::{Incident, Severity};
pub use notify::{Channel, Notify};
pub use release::Release;
pub use rules::{NoticeEvent, NotifyRule};
pub use scan::{FailOn, Scan, ScanTool, TrivyTarget};
pub use schema::schema;
pub use tables::{KINDS, Kind};
pub use verify::Verify;

/// The kinds of tasks: the typed keys beside `run` and `steps`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskKind {
    /// `scan`
    Scan,
    /// `build`
    Build,
    /// `backup`
    Backup,
    /// `deploy`
    Deploy,
    /// `approval`
    Approval,
    /// `verify`
    Verify,
    /// `release`
    Release,
    /// `notify`
    Notify,
}

impl TaskKind {
    /// All, in the order in which the reference has them.
    pub const ALL: [TaskKind; 8] = [
        TaskKind::Scan,
        TaskKind::Build,
        TaskKind::Backup,
        TaskKind::Deploy,
        TaskKind::Approval,
        TaskKind::Verify,
        TaskKind::Release,
        TaskKind::Notify,
    ];

    /// The key.
    pub fn name(self) -> &'static str {
        match self {
            TaskKind::Scan => "scan",
            TaskKind::Build => "build",
            TaskKind::Backup => "backup",
            TaskKind::Deploy => "deploy",
            TaskKind::Approval => "approval",
            TaskKind::Verify => "verify",
            TaskKind::Release => "release",
            TaskKind::Notify => "notify",
        }
    }

    /// Whether it runs programs in the stage's sandbox; else it needs none.
    pub fn runs_programs(self) -> bool {
        matches!(self, TaskKind::Scan | TaskKind::Backup)
    }

    /// Whether it reads the commit's files.
    pub fn reads_files(self) -> bool {
        !matches!(self, TaskKind::Approval | TaskKind::Notify)
    }

    /// Whether it changes or tells what is outside of the run: not for runs that an outsider can have written.
    pub fn reaches_outside(self) -> bool {
        !matches!(self, TaskKind::Scan | TaskKind::Build)
    }

    /// The kind of this key.
    pub fn of(key: &str) -> Option<TaskKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == key)
    }
}

/// The settings of a typed key.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one for each stage, never in lists")]
pub enum Typed {
    /// `scan`
    Scan(Scan),
    /// `build`
    Build(Build),
    /// `backup`
    Backup(Backup),
    /// `deploy`
    Deploy(Deploy),
    /// `approval`
    Approval(Approval),
    /// `verify`
    Verify(Verify),
    /// `release`
    Release(Release),
    /// `notify`
    Notify(Notify),
}

impl Typed {
    /// Reads the settings of a typed key; what is wrong is reported, and then there is none.
    pub fn read(reader: &mut settings::Reader<'_>, kind: TaskKind, node: &Node) -> Option<Self> {
        Some(match kind {
            TaskKind::Scan => Typed::Scan(Scan::read(reader, node)?),
            TaskKind::Build => Typed::Build(Build::read(reader, node)?),
            TaskKind::Backup => Typed::Backup(Backup::read(reader, node)?),
            TaskKind::Deploy => Typed::Deploy(Deploy::read(reader, node)?),
            TaskKind::Approval => Typed::Approval(Approval::read(reader, node)?),
            TaskKind::Verify => Typed::Verify(Verify::read(reader, node)?),
            TaskKind::Release => Typed::Release(Release::read(reader, node)?),
            TaskKind::Notify => Typed::Notify(Notify::read(reader, node)?),
        })
    }

    /// Its kind.
    pub fn kind(&self) -> TaskKind {
        match self {
            Typed::Scan(_) => TaskKind::Scan,
            Typed::Build(_) => TaskKind::Build,
            Typed::Backup(_) => TaskKind::Backup,
            Typed::Deploy(_) => TaskKind::Deploy,
            Typed::Approval(_) => TaskKind::Approval,
            Typed::Verify(_) => TaskKind::Verify,
            Typed::Release(_) => TaskKind::Release,
            Typed::Notify(_) => TaskKind::Notify,
        }
    }
}

/// The kind of `job`'s typed key.
pub fn kind_of(job: &Job) -> Option<TaskKind> {
    job.typed.as_ref().and_then(|typed| TaskKind::of(&typed.key.value))
}

/// The image that the tool of `job` runs in when the file names none; it counts as given.
pub fn default_image(job: &Job) -> Option<&'static str> {
    let typed = job.typed.as_ref().filter(|typed| typed.key.value == "scan")?;
    let names = |tool: &str| match typed.node.scalar() {
        Some((text, _)) => &**text == tool,
        None => typed.node.get(tool).is_some(),
    };
    if names("gitleaks") {
        Some("zricethezav/gitleaks")
    } else if names("trivy") {
        Some("aquasec/trivy")
    } else {
        None
    }
}

/// Reads a file as [`crate::model::read`] does, and checks its typed stages with it.
pub fn load(source: Source, options: &ReadOptions) -> (Option<Pipeline>, Diagnostics) {
    let (pipeline, mut diagnostics) = crate::model::read(source, options);
    if let Some(pipeline) = &pipeline {
        check(pipeline, &mut diagnostics);
    }
    let pipeline = if diagnostics.has_errors() { None } else { pipeline };
    (pipeline, diagnostics)
}

/// Checks the typed stages of `pipeline`.
pub fn check(pipeline: &Pipeline, diagnostics: &mut Diagnostics) {
    if pipeline.dialect != Dialect::Stages {
        return;
    }
    let mut found = Diagnostics::new(pipeline.source.clone());
    for job in &pipeline.jobs {
        let before = found.list.len();
        read(job, &mut found);
        // The table's words come first; what a setting's value says is of interest once its name is right.
        if found.list.len() == before {
            read_typed(job, &mut found);
        }
    }
    if let Some(node) = &pipeline.environments {
        Environment::read_all(node, &mut found, true);
    }
    if let Some(node) = &pipeline.notify {
        NotifyRule::read_all(&mut settings::Reader::of_file(&mut found), node);
    }
    if let Some(node) = &pipeline.incident {
        Incident::read(&mut settings::Reader::of_file(&mut found), node);
    }
    // What waits for a later version is valid; `plan` and `run` refuse it ([`refusals`]).
    found.list.into_iter().filter(|one| one.code != codes::NOT_YET).for_each(|one| diagnostics.push(one));
    diagnostics.sort();
}

/// Reads the settings of `job`'s typed key as the file has them.
fn read_typed(job: &Job, diagnostics: &mut Diagnostics) -> Option<Typed> {
    let node = &job.typed.as_ref()?.node;
    Typed::read(&mut settings::Reader::of_file(diagnostics), kind_of(job)?, node)
}

/// Checks the typed key of one stage: its settings are known, and what must be given is.
pub fn read(job: &Job, diagnostics: &mut Diagnostics) {
    let Some(typed) = &job.typed else { return };
    let Some(kind) = KINDS.iter().find(|kind| kind.name == typed.key.value) else { return };
    match &*typed.node.kind {
        NodeKind::Mapping(_) => read_map(kind, &typed.node, diagnostics),
        NodeKind::Scalar { .. } if typed.node.is_null() && kind.required().next().is_none() && !kind.one_choice => {}
        NodeKind::Scalar { text, .. } if text.contains("${{") => {}
        NodeKind::Scalar { text, .. } if kind.choices().any(|choice| choice == dashed(text)) => {}
        NodeKind::Scalar { text, .. } => {
            let message = if typed.node.is_null() {
                format!("\"{}\" needs settings", kind.name)
            } else {
                format!("\"{}\" cannot be \"{text}\"", kind.name)
            };
            let help = match suggest(text, kind.choices()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if kind.one_choice => format!("it is one of {}", join(kind.choices())),
                None => format!("it is a map of {}", join(kind.keys())),
            };
            diagnostics.push(Diagnostic::error(codes::VALUE, typed.node.span, message).help(help));
        }
        NodeKind::Sequence(_) => {
            let message = format!("\"{}\" is a map, but this is a list", kind.name);
            diagnostics.push(Diagnostic::error(codes::KIND, typed.key.span, message));
        }
    }
}

fn read_map(kind: &Kind, node: &Node, diagnostics: &mut Diagnostics) {
    let entries = node.entries().unwrap_or_default();
    let mut chosen = None;
    for entry in entries {
        let key = dashed(&entry.key);
        if !kind.keys().any(|known| known == key) {
            let message = format!("\"{}\" is not a key of \"{}\"", entry.key, kind.name);
            let help = match suggest(&key, kind.keys()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("known keys: {}", join(kind.keys())),
            };
            diagnostics.push(Diagnostic::error(codes::TYPED_KEY, entry.key_span, message).help(help));
        } else if kind.one_choice
            && kind.choices().any(|choice| choice == key)
            && let Some((first, span)) = chosen.replace((key.clone(), entry.key_span))
        {
            let message = format!("\"{}\" has \"{key}\" beside \"{first}\": it takes one of them", kind.name);
            diagnostics.push(
                Diagnostic::error(codes::CONFLICT, entry.key_span, message)
                    .related(span, format!("\"{first}\" stands here")),
            );
        }
    }
    let at = entries.first().map_or(node.span, |entry| entry.key_span);
    if kind.one_choice && chosen.is_none() {
        let message = format!("\"{}\" needs one of {}", kind.name, join(kind.choices()));
        diagnostics.push(Diagnostic::error(codes::MISSING, at, message));
    }
    for required in kind.required() {
        if !entries.iter().any(|entry| dashed(&entry.key) == required) {
            let message = format!("\"{}\" needs the key \"{required}\"", kind.name);
            diagnostics.push(Diagnostic::error(codes::MISSING, at, message));
        }
    }
}

/// What `job` asks for that this version reads and cannot do yet.
pub fn refusals(job: &Job, source: &Source) -> Vec<Diagnostic> {
    let mut found = Diagnostics::new(source.clone());
    read_typed(job, &mut found);
    let help = "run the stages before it with \"--stage\", or do its work with \"run\"";
    let not_yet = found.list.into_iter().filter(|one| one.code == codes::NOT_YET);
    not_yet.map(|one| if one.help.is_none() { one.help(help) } else { one }).collect()
}

/// What the file's rules of notices ask for that this version reads and cannot do yet.
pub fn rule_refusals(pipeline: &Pipeline) -> Vec<Diagnostic> {
    let Some(node) = &pipeline.notify else { return Vec::new() };
    let mut found = Diagnostics::new(pipeline.source.clone());
    NotifyRule::read_all(&mut settings::Reader::of_file(&mut found), node);
    found.list.into_iter().filter(|one| one.code == codes::NOT_YET).collect()
}

/// Keys of typed stages may be spelt with `_`.
fn dashed(key: &str) -> String {
    key.replace('_', "-")
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(stage: &str) -> Vec<String> {
        let text = format!("stages:\n  s: {stage}\n");
        let (_, diagnostics) = load(Source::new("s.yml", text), &ReadOptions::default());
        diagnostics.list.iter().map(|d| format!("{}|{}", d.message, d.help.as_deref().unwrap_or_default())).collect()
    }

    #[test]
    fn settings_are_known_by_name() {
        for good in [
            "{scan: gitleaks}",
            "{scan: {trivy: {fs: .}, fail_on: high}}",
            "{approval: {}}",
            "{approval: }",
            "{backup: {velero: {namespaces: [a]}}}",
            "{build: {tags: [a], push: true, build_args: {A: 1}}}",
            "{deploy: {manifests: k8s/, progress_deadline: 30s}}",
            "{verify: {pods: ready}}",
            "{release: {tag: v1}}",
        ] {
            assert_eq!(errors(good), Vec::<String>::new(), "{good}");
        }
        assert_eq!(errors("{scan: gitleak}"), ["\"scan\" cannot be \"gitleak\"|did you mean \"gitleaks\"?"]);
        assert_eq!(
            errors("{deploy: {manifest: k8s/}}")[0],
            "\"manifest\" is not a key of \"deploy\"|did you mean \"manifests\"?"
        );
        assert_eq!(errors("{build: {push: true}}"), ["\"build\" needs the key \"tags\"|"]);
        assert_eq!(
            errors("{scan: {gitleaks: {}, trivy: {}}}"),
            ["\"scan\" has \"trivy\" beside \"gitleaks\": it takes one of them|"]
        );
    }

    #[test]
    fn a_stage_does_one_thing() {
        assert!(errors("{scan: gitleaks, build: {tags: [a]}}")[0].contains("a stage does one thing"));
        assert!(errors("{run: make, build: {tags: [a]}}")[0].contains("a stage does one thing"));
    }
}
