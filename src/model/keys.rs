//! What a table of keys is made of. The tables drive the reader, "did you mean", the schema and the docs, so that these
//! cannot disagree.

/// The contexts and special functions that an expression may use, as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contexts(u32);

/// Names in the order in which messages list them; the position is the bit.
const NAMES: [&str; 16] = [
    "github",
    "inputs",
    "vars",
    "needs",
    "strategy",
    "matrix",
    "secrets",
    "env",
    "job",
    "runner",
    "steps",
    "jobs",
    "environment",
    "track",
    "hashfiles",
    "status",
];

impl Contexts {
    /// No expression may stand here.
    pub const NONE: Contexts = Contexts(0);
    /// `github`, `inputs`, `vars`: `run-name`, `concurrency` of the file.
    pub const FILE: Contexts = Contexts(0b111);
    /// The file's `env`.
    pub const FILE_ENV: Contexts = Self::FILE.with(Self::SECRETS);
    /// A job's `if` and `strategy`.
    pub const JOB_EARLY: Contexts = Self::FILE.with(Contexts(1 << 3));
    /// A job's `if`.
    pub const JOB_IF: Contexts = Self::JOB_EARLY.with(Self::STATUS);
    /// A job's keys that are read once for each leg.
    pub const JOB: Contexts = Self::JOB_EARLY.with(Contexts(0b11 << 4));
    /// A job's `env`.
    pub const JOB_ENV: Contexts = Self::JOB.with(Self::SECRETS);
    /// `credentials` of containers.
    pub const CREDENTIALS: Contexts = Self::JOB_ENV.with(Self::ENV);
    /// `defaults.run` of a job.
    pub const DEFAULTS: Contexts = Self::JOB.with(Self::ENV);
    /// `env` of containers.
    pub const CONTAINER_ENV: Contexts = Self::CREDENTIALS.with(Contexts(0b11 << 8));
    /// `environment.url` and a job's `outputs`.
    pub const OUTPUTS: Contexts = Self::CONTAINER_ENV.with(Contexts(1 << 10));
    /// Within a step.
    pub const STEP: Contexts = Self::OUTPUTS.with(Self::HASH_FILES);
    /// `deploy` and `verify`: queries of gates name the pods of the side that they ask about.
    pub const DELIVERY: Contexts = Self::STEP.with(Self::TRACK);
    /// A step's `if`: no secrets.
    pub const STEP_IF: Contexts = Contexts(Self::STEP.0 & !Self::SECRETS.0 | Self::STATUS.0);
    /// Outputs of a reusable workflow.
    pub const CALL_OUTPUT: Contexts = Self::FILE.with(Contexts(1 << 11));

    const SECRETS: Contexts = Contexts(1 << 6);
    const ENV: Contexts = Contexts(1 << 7);
    const ENVIRONMENT: Contexts = Contexts(1 << 12);
    const TRACK: Contexts = Contexts(1 << 13);
    const HASH_FILES: Contexts = Contexts(1 << 14);
    const STATUS: Contexts = Contexts(1 << 15);

    const fn with(self, other: Contexts) -> Contexts {
        Contexts(self.0 | other.0)
    }

    /// What a file with `stages:` may read in addition: `environment` wherever steps are at hand, and a job's `env` the file's.
    pub fn for_stages(self) -> Contexts {
        if self.0 & Self::HASH_FILES.0 != 0 {
            self.with(Self::ENVIRONMENT)
        } else if self == Self::JOB_ENV || self == Self::OUTPUTS {
            self.with(Self::ENV).with(Self::ENVIRONMENT)
        } else {
            self
        }
    }

    /// Whether `name` is a context at all.
    pub fn exists(name: &str) -> bool {
        NAMES[..14].contains(&name)
    }

    /// The functions that may be called here beside those that always may.
    pub fn functions(self) -> &'static [&'static str] {
        match (self.0 & Self::STATUS.0 != 0, self.0 & Self::HASH_FILES.0 != 0) {
            (false, false) => &[],
            (false, true) => &["hashfiles"],
            (true, false) => &["always", "cancelled", "failure", "success"],
            (true, true) => &["always", "cancelled", "failure", "success", "hashfiles"],
        }
    }

    /// Whether any expression may stand here.
    pub fn allows_any(self) -> bool {
        self.0 != 0
    }

    /// The allowed contexts' names.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        NAMES[..14].iter().enumerate().filter(move |(bit, _)| self.0 & (1 << bit) != 0).map(|(_, name)| *name)
    }
}

/// What may stand at a key.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    /// A text; numbers and booleans are taken as the letters that are written.
    Text,
    /// A condition of `if`.
    Condition,
    /// A boolean.
    Bool,
    /// A number, at least this large.
    Number(f64),
    /// A text or a list of texts.
    Texts,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A map of names to texts.
    Env,
    /// A list.
    List(&'static Form),
    /// A map with these keys.
    Map(&'static Table),
    /// A map of names to this.
    MapOf(&'static Form),
    /// Any of these.
    OneOf(&'static [Form]),
    /// Nothing.
    Null,
    /// Anything.
    Any,
}

/// A key of a map.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is spelt.
    pub name: &'static str,
    /// What may stand there.
    pub form: Form,
    /// What expressions there may use.
    pub contexts: Contexts,
    /// What it is for, in a sentence; editors show it.
    pub doc: &'static str,
}

/// The keys of a map.
#[derive(Debug)]
pub struct Table {
    /// What the map is, such as `a job`.
    pub name: &'static str,
    /// Its keys, in groups that several tables share.
    pub groups: &'static [&'static [Key]],
    /// Keys that must be given.
    pub required: &'static [&'static str],
}

impl Table {
    /// The keys.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    /// The key called `name`.
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name)
    }
}

/// A key, in a table's shorthand.
pub const fn key(name: &'static str, form: Form, contexts: Contexts, doc: &'static str) -> Key {
    Key { name, form, contexts, doc }
}
