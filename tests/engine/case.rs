//! A pipeline's text, what its steps do, and what came of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use slipway::cli::load::replan;
use slipway::clock::{Clock, Timestamp};
use slipway::engine::ports::{Places, Ports, Runners, Settings};
use slipway::engine::run::{RunRequest, execute};
use slipway::event::{Event, Outcome, Record};
use slipway::id::RunId;
use slipway::plan::contexts::RunFacts;
use slipway::plan::ir::{Placement, Plan, PlanInputs, RunnerKind, Selection};
use slipway::runner::contract::{Runner, RunnerError};
use slipway::runner::scripted::{Script, ScriptedRunner};
use slipway::secret::Secret;
use slipway::sink::Sink;
use slipway::store::artifacts::FileArtifacts;
use slipway::store::cache::FileCaches;
use slipway::store::contract::{Groups, NewRun, Store};
use slipway::store::folder::StateFolder;
use slipway::store::logs::FileLogs;
use slipway::store::memory::MemoryStore;
use slipway::store::seal::RunSealer;
use slipway::store::sqlite::{Durability, SqliteStore};
use slipway::workspace::copy::LocalWorkspaces;

/// One runner for every kind.
struct One(ScriptedRunner);

impl Runners for One {
    fn get(&self, _kind: RunnerKind) -> Result<Arc<dyn Runner>, RunnerError> {
        Ok(Arc::new(self.0.clone()))
    }
}

/// The time of the test's runtime.
struct TestClock(tokio::time::Instant);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(i64::try_from(self.0.elapsed().as_millis()).unwrap())
    }
}

type Reaction = Box<dyn FnMut(&Event) + Send>;

/// Does something upon events.
struct Upon(Reaction);

impl Sink for Upon {
    fn record(&mut self, record: &Record) {
        (self.0)(&record.event);
    }
}

pub(crate) struct Case {
    text: String,
    pub(crate) runner: ScriptedRunner,
    jobs: usize,
    in_memory: bool,
    secrets: Vec<(String, Secret)>,
    upon: Vec<Reaction>,
    pub(crate) interrupt: mpsc::Sender<String>,
    interrupts: mpsc::Receiver<String>,
}

pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    pub(crate) records: Vec<Record>,
    pub(crate) plan: Arc<Plan>,
    pub(crate) runner: ScriptedRunner,
}

pub(crate) fn inputs() -> PlanInputs {
    PlanInputs {
        untrusted: false,
        file: "slipway.yml".into(),
        path: "slipway.yml".into(),
        event_name: "push".into(),
        github: serde_json::json!({"event_name": "push", "ref": "refs/heads/main", "sha": "0123", "event": {}}),
        inputs: serde_json::json!({}),
        vars: serde_json::json!({}),
        env: Vec::new(),
        secret_names: vec!["TOKEN".into()],
        selection: Selection::default(),
        placement: Placement { in_place: true, ..Placement::default() },
    }
}

impl Case {
    pub(crate) fn new(text: &str) -> Self {
        let (interrupt, interrupts) = mpsc::channel(4);
        Self {
            text: text.to_owned(),
            runner: ScriptedRunner::new(),
            jobs: 16,
            in_memory: false,
            secrets: Vec::new(),
            upon: Vec::new(),
            interrupt,
            interrupts,
        }
    }

    pub(crate) fn script(self, key: &str, script: Script) -> Self {
        self.runner.script(key, script);
        self
    }

    pub(crate) fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }

    /// Needed where time stands still: a thread that commits would look like idleness.
    pub(crate) fn in_memory(mut self) -> Self {
        self.in_memory = true;
        self
    }

    pub(crate) fn secret(mut self, name: &str, value: &str) -> Self {
        self.secrets.push((name.to_owned(), Secret::new(value)));
        self
    }

    pub(crate) fn upon(mut self, reaction: impl FnMut(&Event) + Send + 'static) -> Self {
        self.upon.push(Box::new(reaction));
        self
    }

    /// The run is interrupted when this step is about to start.
    pub(crate) fn interrupted_at(self, key: &'static str) -> Self {
        let interrupt = self.interrupt.clone();
        self.upon(move |event| {
            if matches!(event, Event::StepStarting { step, .. } if step.to_string() == key) {
                interrupt.try_send("ctrl-c".to_owned()).unwrap();
            }
        })
    }

    pub(crate) async fn run(self) -> Done {
        let temp = tempfile::tempdir().unwrap();
        let state = StateFolder::open_at(temp.path().join("state")).unwrap();
        let run = RunId::from("testrun");
        let (store, groups): (Arc<dyn Store>, Arc<dyn Groups>) = if self.in_memory {
            let store = MemoryStore::default();
            (Arc::new(store.clone()), Arc::new(store))
        } else {
            let store = SqliteStore::open(&state, Durability::Process).unwrap();
            (Arc::new(store.clone()), Arc::new(store))
        };
        let plan = Arc::new(replan(&self.text, inputs()).unwrap_or_else(|error| panic!("{error:?}")));
        let new = NewRun {
            run: run.clone(),
            pipeline: plan.name.clone(),
            name: plan.run_name.clone(),
            text: self.text.clone(),
            inputs: inputs(),
            plan_json: "{}".into(),
            plan_hash: plan.hash.clone(),
            checkout: temp.path().into(),
            commit: "0".into(),
            started: Timestamp(0),
            origin: None,
        };
        store.create(&new).unwrap();
        let folder = state.run(&run);
        let request = RunRequest {
            run: run.clone(),
            plan: Arc::clone(&plan),
            journal: store.journal(&run).unwrap(),
            records: Vec::new(),
            ports: Ports {
                runners: Arc::new(One(self.runner.clone())),
                store: Arc::clone(&store),
                logs: Arc::new(FileLogs::new(&state)),
                artifacts: Arc::new(FileArtifacts::new(state.runs())),
                caches: Arc::new(FileCaches::new(state.cache())),
                groups,
                sealer: Arc::new(RunSealer::new(&state, &run)),
                workspaces: Arc::new(LocalWorkspaces),
                tasks: Arc::new(slipway::cli::tasks::LocalTasks::new()),
                clock: Arc::new(TestClock(tokio::time::Instant::now())),
            },
            places: Places {
                run_folder: folder.clone(),
                attempts: folder.join("attempts"),
                workspaces: folder.join("work"),
                tool_cache: state.tools(),
                checkout: temp.path().to_owned(),
                state_label: "test".into(),
                cache_scope: "test".into(),
            },
            settings: Settings { jobs: self.jobs, ..Settings::default() },
            secrets: self.secrets,
            numbers: RunFacts { run_id: "1".into(), run_number: 1, run_attempt: 1 },
            reused: None,
            origin: None,
            sinks: self.upon.into_iter().map(|reaction| Box::new(Upon(reaction)) as Box<dyn Sink>).collect(),
            environments: Vec::new(),
            interrupts: self.interrupts,
            wake: mpsc::channel(1).1,
        };
        let outcome = execute(request).await.unwrap().outcome.expect("it did not pause");
        let records = store.records(&run, 0).unwrap();
        assert_eq!(self.runner.violations(), Vec::<String>::new());
        assert_eq!(self.runner.open_now(), 0, "sandboxes stay open");
        assert!(records.iter().zip(1..).all(|(record, seq)| record.seq == seq));
        Done { outcome, records, plan, runner: self.runner }
    }
}

impl Done {
    /// How stages ended, by name.
    pub(crate) fn stages(&self) -> HashMap<String, &'static str> {
        let end = |record: &Record| match &record.event {
            Event::StageFinished { stage, outcome: Outcome::Lost, .. } => Some((stage.to_string(), "lost")),
            Event::StageFinished { stage, outcome, .. } => Some((stage.to_string(), outcome.github())),
            Event::StageSkipped { stage, .. } => Some((stage.to_string(), "skipped")),
            _ => None,
        };
        self.records.iter().filter_map(end).collect()
    }

    pub(crate) fn assert_stages(&self, wanted: &[(&str, &str)]) {
        let stages = self.stages();
        let got: Vec<(&str, &str)> = wanted.iter().map(|(name, _)| (*name, stages[*name])).collect();
        assert_eq!(got, wanted);
        assert_eq!(stages.len(), wanted.len(), "{stages:?}");
    }

    /// Keys of the steps that were started, sorted.
    pub(crate) fn started(&self) -> Vec<String> {
        let mut keys = self.runner.started_keys();
        keys.sort();
        keys
    }

    /// What the shell of a step was given.
    pub(crate) fn script_of(&self, key: &str) -> String {
        let started = self.runner.started();
        let command = started.iter().find(|command| command.key.to_string() == key).expect("it was started");
        String::from_utf8(command.files[0].1.clone()).unwrap()
    }

    /// When the first event came that is so.
    pub(crate) fn when(&self, mut so: impl FnMut(&Event) -> bool) -> Duration {
        let record = self.records.iter().find(|record| so(&record.event)).expect("it happened");
        Duration::from_millis(u64::try_from(record.at.0).unwrap())
    }

    pub(crate) fn step_end(&self, key: &str) -> (Outcome, Outcome) {
        let end = self.records.iter().find_map(|record| match &record.event {
            Event::StepFinished { step, outcome, conclusion, .. } if step.to_string() == key => {
                Some((*outcome, *conclusion))
            }
            _ => None,
        });
        end.expect("the step ended")
    }
}

pub(crate) fn finished(key: &'static str) -> impl FnMut(&Event) -> bool {
    move |event| matches!(event, Event::StepFinished { step, .. } if step.to_string() == key)
}

pub(crate) fn cancel_asked(event: &Event) -> bool {
    matches!(event, Event::CancelRequested { .. })
}
