//! The keys of pipelines, jobs, stages and steps. See [`super::keys`] for what the tables drive; the keys of `on` are in
//! [`super::tables_trigger`].

use super::keys::{Contexts as C, Form, Key, Table, key};
use super::tables_trigger::EVENT_NAMES;

const SHARED: &[Key] = &[
    key("name", Form::Text, C::NONE, "The pipeline's name, by default the file's path."),
    key("run-name", Form::Text, C::FILE, "The name of each run."),
    key("description", Form::Text, C::NONE, "What the pipeline is for."),
    key("on", ON, C::NONE, "The events that start it."),
    key("env", Form::Env, C::FILE_ENV, "Environment variables of every step."),
    key("defaults", Form::Map(&DEFAULTS), C::NONE, "Defaults of every job's `run` steps."),
    key("concurrency", CONCURRENCY_FORM, C::FILE, "Runs of one group wait for each other."),
    key("permissions", PERMISSIONS_FORM, C::NONE, "What the run's token may do."),
];

const JOBS: &[Key] =
    &[key("jobs", Form::MapOf(&JOB_FORM), C::NONE, "The jobs by id; each starts when those in its `needs` are done.")];

const STAGES: &[Key] = &[
    key(
        "stages",
        STAGES_FORM,
        C::NONE,
        "The stages: a map is a DAG by `needs`; in a list each item waits for the one before.",
    ),
    key(
        "environments",
        Form::MapOf(&Form::Any),
        C::STEP,
        "Environments by name: cluster, namespace, url, vars, secrets, branches, approvers.",
    ),
    key(
        "notify",
        Form::List(&Form::Any),
        C::STEP,
        "Rules for the whole run: channels, and the events that they are told.",
    ),
    key("incident", Form::Any, C::STEP, "What happens when a release goes back, or should."),
];

/// A GitHub Actions workflow.
pub static WORKFLOW: Table = Table { name: "a workflow", groups: &[SHARED, JOBS], required: &["jobs"] };

/// A Slipway file.
pub static PIPELINE: Table = Table { name: "a pipeline", groups: &[SHARED, STAGES], required: &["stages"] };

/// Either, for the suggestion when neither `jobs` nor `stages` is there.
pub static ANY_FILE: Table = Table { name: "a pipeline", groups: &[SHARED, JOBS, STAGES], required: &[] };

const STAGES_FORM: Form = Form::OneOf(&[Form::MapOf(&Form::Map(&STAGE)), Form::List(&Form::MapOf(&Form::Map(&STAGE)))]);

const ON: Form = Form::OneOf(&[
    Form::Choice(EVENT_NAMES),
    Form::List(&Form::Choice(EVENT_NAMES)),
    Form::Map(&super::tables_trigger::EVENTS),
]);

const JOB_SHARED: &[Key] = &[
    key("name", Form::Text, C::JOB, "What people see; by default the id."),
    key("needs", Form::Texts, C::NONE, "Jobs that must be done before."),
    key(
        "if",
        Form::Condition,
        C::JOB_IF,
        "Whether it runs; without a status function, `success() &&` stands before it.",
    ),
    key("runs-on", RUNS_ON_FORM, C::JOB, "Labels that the runner must have."),
    key("env", Form::Env, C::JOB_ENV, "Environment variables of every step."),
    key("environment", ENVIRONMENT_FORM, C::JOB, "The environment that it belongs to."),
    key("concurrency", CONCURRENCY_FORM, C::JOB, "Jobs of one group wait for each other."),
    key("outputs", Form::Env, C::OUTPUTS, "Values that jobs behind it can read."),
    key("strategy", Form::Map(&STRATEGY), C::JOB_EARLY, "One leg for each combination of a matrix."),
    key("container", CONTAINER_FORM, C::JOB, "The container that steps run in."),
    key("services", Form::MapOf(&CONTAINER_FORM), C::JOB, "Containers beside it, reachable by their ids."),
    key("defaults", Form::Map(&JOB_DEFAULTS), C::NONE, "Defaults of its `run` steps."),
    key("steps", Form::List(&STEP_FORM), C::NONE, "What is done, one after the other."),
    key("timeout-minutes", Form::Number(0.0), C::JOB, "After so many minutes it ends as failed; 360 by default."),
    key(
        "cancel-timeout-minutes",
        Form::Number(0.0),
        C::JOB,
        "How long clean-up steps may take after a cancel; 5 by default.",
    ),
    key("continue-on-error", Form::Bool, C::JOB, "Whether its failure leaves the run successful."),
    key("permissions", PERMISSIONS_FORM, C::NONE, "What the job's token may do."),
    key("uses", Form::Text, C::NONE, "A reusable workflow that is called."),
    key("with", Form::MapOf(&Form::Any), C::JOB, "Inputs of the reusable workflow."),
    key(
        "secrets",
        Form::OneOf(&[Form::Choice(&["inherit"]), Form::Env]),
        C::JOB_ENV,
        "Secrets of the reusable workflow.",
    ),
    key("snapshot", Form::Any, C::JOB, "GitHub's custom images; read and left aside."),
];

const STAGE_ONLY: &[Key] = &[
    key("image", CONTAINER_FORM, C::JOB, "The container that steps run in."),
    key("run", Form::Text, C::STEP, "The script: a stage of one step."),
    key("shell", Form::Text, C::STEP, "The shell of `run`."),
    key("working-directory", Form::Text, C::STEP, "The folder in which `run` starts."),
    key("retry", RETRY_FORM, C::NONE, "How many attempts more, and upon what."),
    key(
        "artifacts",
        Form::Texts,
        C::STEP,
        "Globs of files that are kept with the run; stages that need it find them at the same paths.",
    ),
    key("cache", Form::OneOf(&CACHE_FORMS), C::STEP, "Folders that are kept between runs."),
    key("reports", Form::Map(&REPORTS), C::NONE, "Reports that are read when the stage ends."),
    key("network", Form::Choice(&["own"]), C::NONE, "A network of its own, also without services."),
];

const TYPED: &[Key] = &[
    key("scan", Form::Any, C::STEP, "Looks for leaked secrets and vulnerabilities."),
    key("build", Form::Any, C::STEP, "Builds and pushes a container image."),
    key("backup", Form::Any, C::STEP, "Backs up a database or a cluster, and checks the backup."),
    key("deploy", Form::Any, C::DELIVERY, "Rolls out to Kubernetes, and takes itself back."),
    key("approval", Form::Any, C::NONE, "Waits for people."),
    key("verify", Form::Any, C::DELIVERY, "Checks that what was deployed works."),
    key("release", Form::Any, C::STEP, "Makes an annotated tag."),
    key("notify", Form::Any, C::STEP, "Sends a message, here and now."),
];

/// The typed keys' names.
pub const TYPED_KEYS: [&str; 8] = ["scan", "build", "backup", "deploy", "approval", "verify", "release", "notify"];

/// A job of a workflow.
pub static JOB: Table = Table { name: "a job", groups: &[JOB_SHARED], required: &[] };

/// A stage of a Slipway file.
pub static STAGE: Table = Table { name: "a stage", groups: &[JOB_SHARED, STAGE_ONLY, TYPED], required: &[] };

/// A step.
pub static STEP: Table = Table {
    name: "a step",
    groups: &[&[
        key("id", Form::Text, C::NONE, "The name by which `steps.<id>` finds its outputs."),
        key("name", Form::Text, C::STEP, "What people see."),
        key(
            "if",
            Form::Condition,
            C::STEP_IF,
            "Whether it runs; without a status function, `success() &&` stands before it.",
        ),
        key("run", Form::Text, C::STEP, "The script."),
        key("uses", Form::Text, C::NONE, "An action: `owner/repository[/path]@ref`, `./path` or `docker://image`."),
        key("with", Form::MapOf(&Form::Any), C::STEP, "The action's inputs."),
        key("env", Form::Env, C::STEP, "Environment variables of this step."),
        key("shell", Form::Text, C::STEP, "The shell of `run`."),
        key("working-directory", Form::Text, C::STEP, "The folder in which `run` starts."),
        key("continue-on-error", Form::Bool, C::STEP, "Whether its failure leaves the job successful."),
        key("timeout-minutes", Form::Number(0.0), C::STEP, "After so many minutes it ends as failed."),
    ]],
    required: &[],
};

/// `strategy`.
pub static STRATEGY: Table = Table {
    name: "a strategy",
    groups: &[&[
        key("matrix", Form::Any, C::JOB_EARLY, "Vectors by name, `include` and `exclude`; or one expression."),
        key("fail-fast", Form::Bool, C::JOB_EARLY, "Whether one leg's failure ends the others; true by default."),
        key("max-parallel", Form::Number(1.0), C::JOB_EARLY, "How many legs run at once."),
    ]],
    required: &[],
};

/// `container`, `image` and services as maps.
pub static CONTAINER: Table = Table {
    name: "a container",
    groups: &[&[
        key("image", Form::Text, C::JOB, "The image."),
        key("credentials", Form::Map(&CREDENTIALS), C::JOB, "Who pulls it."),
        key("env", Form::Env, C::CONTAINER_ENV, "Environment variables of the container."),
        key("ports", Form::Texts, C::JOB, "Ports that are opened."),
        key("volumes", Form::Texts, C::JOB, "Volumes: `source:destination`."),
        key("options", Form::Text, C::JOB, "Options of `docker create`."),
        key("command", Form::Texts, C::JOB, "What a service runs in place of its image's command."),
        key("args", Form::Texts, C::JOB, "Arguments behind `command`."),
        key("entrypoint", Form::Text, C::JOB, "What a service runs in place of its image's entry point."),
    ]],
    required: &[],
};

/// `credentials`.
pub static CREDENTIALS: Table = Table {
    name: "credentials",
    groups: &[&[
        key("username", Form::Text, C::CREDENTIALS, "The user."),
        key("password", Form::Text, C::CREDENTIALS, "The password or token."),
    ]],
    required: &["username", "password"],
};

/// `runs-on` as a map.
pub static RUNS_ON: Table = Table {
    name: "runs-on",
    groups: &[&[
        key("group", Form::Text, C::JOB, "The group of runners."),
        key("labels", Form::Texts, C::JOB, "Labels that the runner must have."),
    ]],
    required: &[],
};

/// `concurrency` as a map.
pub static CONCURRENCY: Table = Table {
    name: "concurrency",
    groups: &[&[
        key("group", Form::Text, C::JOB, "The group's name; case does not count."),
        key("cancel-in-progress", Form::Bool, C::JOB, "Whether a newcomer cancels the one that runs."),
        key(
            "queue",
            Form::Choice(&["single", "max"]),
            C::NONE,
            "How many may wait: one (the newest), or up to 100 in order.",
        ),
    ]],
    required: &["group"],
};

/// `environment` as a map.
pub static ENVIRONMENT: Table = Table {
    name: "an environment",
    groups: &[&[
        key("name", Form::Text, C::JOB, "Its name."),
        key("url", Form::Text, C::OUTPUTS, "Where it can be seen."),
        key("deployment", Form::Bool, C::JOB, "Whether GitHub records a deployment."),
    ]],
    required: &["name"],
};

/// `defaults` of a file.
pub static DEFAULTS: Table = Table {
    name: "defaults",
    groups: &[&[key("run", Form::Map(&DEFAULTS_RUN), C::NONE, "Defaults of `run` steps.")]],
    required: &[],
};

/// `defaults.run` of a file.
pub static DEFAULTS_RUN: Table = Table {
    name: "defaults.run",
    groups: &[&[
        key("shell", Form::Text, C::NONE, "The shell."),
        key("working-directory", Form::Text, C::NONE, "The folder in which steps start."),
    ]],
    required: &[],
};

/// `defaults` of a job.
pub static JOB_DEFAULTS: Table = Table {
    name: "defaults",
    groups: &[&[key("run", Form::Map(&JOB_DEFAULTS_RUN), C::NONE, "Defaults of `run` steps.")]],
    required: &[],
};

/// `defaults.run` of a job.
pub static JOB_DEFAULTS_RUN: Table = Table {
    name: "defaults.run",
    groups: &[&[
        key("shell", Form::Text, C::DEFAULTS, "The shell."),
        key("working-directory", Form::Text, C::DEFAULTS, "The folder in which steps start."),
    ]],
    required: &[],
};

/// What a retry may answer to.
pub const RETRY_ON: &[&str] = &["lost", "timeout", "failure"];

/// `retry` as a map.
pub static RETRY: Table = Table {
    name: "retry",
    groups: &[&[
        key("max", Form::Number(0.0), C::NONE, "Attempts more, at most 10."),
        key(
            "on",
            Form::OneOf(&[Form::Choice(RETRY_ON), Form::List(&Form::Choice(RETRY_ON))]),
            C::NONE,
            "Upon what; by default upon all three.",
        ),
    ]],
    required: &["max"],
};

/// `cache`.
pub static CACHE: Table = Table {
    name: "a cache",
    groups: &[&[
        key("key", Form::Text, C::STEP, "The key; an entry is written once."),
        key("paths", Form::Texts, C::STEP, "Folders and files, in the workspace or under `~/`."),
        key("restore-keys", Form::Texts, C::STEP, "Beginnings of keys that will do, tried in turn."),
    ]],
    required: &["key", "paths"],
};

/// `reports`.
pub static REPORTS: Table = Table {
    name: "reports",
    groups: &[&[key("junit", Form::Texts, C::STEP, "Globs of JUnit XML files.")]],
    required: &[],
};

static JOB_FORM: Form = Form::Map(&JOB);
static STEP_FORM: Form = Form::Map(&STEP);
static CACHE_FORM: Form = Form::Map(&CACHE);
static CACHE_FORMS: [Form; 2] = [Form::Map(&CACHE), Form::List(&CACHE_FORM)];

const RUNS_ON_FORM: Form = Form::OneOf(&[Form::Texts, Form::Map(&RUNS_ON)]);
const CONTAINER_FORM: Form = Form::OneOf(&[Form::Text, Form::Map(&CONTAINER)]);
const CONCURRENCY_FORM: Form = Form::OneOf(&[Form::Text, Form::Map(&CONCURRENCY)]);
const ENVIRONMENT_FORM: Form = Form::OneOf(&[Form::Text, Form::Map(&ENVIRONMENT)]);
const RETRY_FORM: Form = Form::OneOf(&[Form::Number(0.0), Form::Map(&RETRY)]);
const PERMISSIONS_FORM: Form = Form::OneOf(&[Form::Choice(&["read-all", "write-all"]), Form::Map(&PERMISSIONS)]);

const ACCESS: Form = Form::Choice(&["read", "write", "none"]);

const fn scope(name: &'static str) -> Key {
    key(name, ACCESS, C::NONE, "What the token may do there.")
}

/// `permissions` as a map.
pub static PERMISSIONS: Table = Table {
    name: "permissions",
    groups: &[&[
        scope("actions"),
        scope("artifact-metadata"),
        scope("attestations"),
        scope("checks"),
        scope("contents"),
        scope("deployments"),
        scope("discussions"),
        scope("id-token"),
        scope("issues"),
        scope("models"),
        scope("packages"),
        scope("pages"),
        scope("pull-requests"),
        scope("repository-projects"),
        scope("security-events"),
        scope("statuses"),
    ]],
    required: &[],
};
