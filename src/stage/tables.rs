//! The typed keys and their settings by name, as `language/stages.yml` has them.

/// One setting of a typed key.
#[derive(Debug, Clone, Copy)]
pub struct Setting {
    /// As it is spelt.
    pub name: &'static str,
    /// What it is for; editors show it.
    pub doc: &'static str,
    /// Whether it must be given.
    pub required: bool,
    /// Whether it is one of the choices of which a stage takes one (a tool, a database).
    pub choice: bool,
}

/// A typed key.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// The key.
    pub name: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// Its settings.
    pub settings: &'static [Setting],
    /// Whether exactly one of the choices must be given.
    pub one_choice: bool,
}

impl Kind {
    /// The settings' names.
    pub fn keys(&self) -> impl Iterator<Item = &'static str> {
        self.settings.iter().map(|setting| setting.name)
    }

    /// The choices' names.
    pub fn choices(&self) -> impl Iterator<Item = &'static str> {
        self.settings.iter().filter(|setting| setting.choice).map(|setting| setting.name)
    }

    /// The settings that must be given.
    pub fn required(&self) -> impl Iterator<Item = &'static str> {
        self.settings.iter().filter(|setting| setting.required).map(|setting| setting.name)
    }
}

const fn may(name: &'static str, doc: &'static str) -> Setting {
    Setting { name, doc, required: false, choice: false }
}

const fn must(name: &'static str, doc: &'static str) -> Setting {
    Setting { name, doc, required: true, choice: false }
}

const fn choice(name: &'static str, doc: &'static str) -> Setting {
    Setting { name, doc, required: false, choice: true }
}

/// The typed keys.
pub const KINDS: &[Kind] = &[
    Kind {
        name: "scan",
        doc: "Looks for leaked secrets and vulnerabilities. Outputs: findings, sarif, json.",
        one_choice: true,
        settings: &[
            choice("gitleaks", "Leaked secrets, in the files and the history."),
            choice("trivy", "Vulnerabilities of an image (`image`) or of the files (`fs`)."),
            choice("sarif", "Any scanner that writes SARIF: `run` and `file`."),
            choice("sonarqube", "A SonarQube server's quality gate."),
            choice("snyk", "Snyk."),
            choice("dependency-check", "OWASP Dependency-Check."),
            may(
                "fail-on",
                "From which severity on the stage fails: critical, high (the default), medium, low, any, none.",
            ),
            may("ignore", "A file that lists what is known, until when, and why."),
        ],
    },
    Kind {
        name: "build",
        doc: "Builds a container image. Outputs: ref (name@digest), digest.",
        one_choice: false,
        settings: &[
            may("context", "The folder that is built, by default the checkout."),
            may("file", "The Dockerfile, from the context."),
            may("target", "The Dockerfile's stage, by default its last."),
            may("build-args", "Arguments of the build."),
            may("labels", "Labels of the image."),
            may("secrets", "Secrets for `RUN --mount=type=secret`; in no layer."),
            must("tags", "Names of the image."),
            may("push", "Whether it is pushed."),
            may("credentials", "Who pushes, by default the user's docker configuration."),
            may("platforms", "Platforms that are built."),
            may("cache", "Whether layers are kept in the registry."),
            may("sbom", "Whether a bill of materials is made."),
            may("sign", "How the image is signed."),
        ],
    },
    Kind {
        name: "backup",
        doc: "Backs up a database, a volume or a cluster, and checks the backup. Outputs: url, size, sha256.",
        one_choice: true,
        settings: &[
            choice("postgres", "PostgreSQL: `uri`, `format`, `pod`, `method`."),
            choice("mongodb", "MongoDB: `uri`."),
            choice("mysql", "MySQL: `uri`."),
            choice("redis", "Redis: `uri`."),
            choice("rabbitmq", "RabbitMQ: `uri`."),
            choice("velero", "Velero: `namespaces`."),
            choice("volume", "A volume: `claim`."),
            may("compress", "gzip (the default), zstd or none."),
            may("encrypt", "The key of AES-256-GCM."),
            may("to", "Where it goes: a URL with {date}, {time}, {run}, {sha}, {database}; or a list of {url, keep}."),
            may("keep", "How long it is kept; the last good one always."),
            may("archive-after", "When it goes to the cold class."),
            may("verify", "checksum (the default), restore, or {restore: {uri}}."),
            may("overdue", "How late a schedule may be."),
        ],
    },
    Kind {
        name: "deploy",
        doc: "Rolls out to Kubernetes and takes itself back. Outputs: app, strategy, digest, previous, result.",
        one_choice: false,
        settings: &[
            may("app", "The application's name, by default the stage's."),
            may("environment", "The environment that it goes to."),
            may("namespace", "By default the environment's."),
            may("manifests", "A file, folder or glob, or a list of them; later ones win."),
            may("kustomize", "A folder for kustomize."),
            may("helm", "A chart: `chart`, `release`, `values`, `set`."),
            may("argocd", "An Argo CD Application: `application`, `file`, `set`."),
            may("images", "Names in the manifests and what stands in their place."),
            may("strategy", "rolling (the default), blue-green or canary; or a map with one of them."),
            may("strategies", "Settings of a strategy that is chosen by name."),
            may("migrate", "A Job that runs before the new version gets traffic."),
            may("smoke", "Checks on the new version before it gets traffic."),
            may("settle", "Time after each change of weight; 5s by default."),
            may("drain", "Time before the old side is scaled down."),
            may("watch", "How long it is watched."),
            may("analysis", "The gates."),
            may("progress-deadline", "Time to become ready; 5m by default."),
            may("on-fail", "rollback (the default), rollback-all or page."),
            may("on-busy", "refuse (the default), queue or preempt."),
            may("on-drift", "pause (the default), reassert or fail."),
            may("prune", "Whether what the last release had and this one has not is deleted."),
            may("waves", "Environments, one after the other; a list in the list side by side."),
        ],
    },
    Kind {
        name: "approval",
        doc: "Waits for people. Outputs: decision, by, comment, and the inputs.",
        one_choice: false,
        settings: &[
            may("approvers", "Users and groups, by default the environment's."),
            may("required", "How many must approve; 1 by default."),
            may("prevent-self-review", "Whether who started the run may not approve."),
            may("timeout", "After which it is rejected; 30d by default."),
            may("on-reject", "fail (the default) or skip."),
            may("inputs", "What is asked of the approver, as in workflow_dispatch."),
        ],
    },
    Kind {
        name: "verify",
        doc: "Checks that what was deployed works, and takes it back if not.",
        one_choice: false,
        settings: &[
            may("app", "The application, where no deploy is needed by this stage."),
            may("http", "Paths or URLs that must answer."),
            may("tcp", "Addresses that must accept a connection."),
            may("exec", "A command in a pod: `pod`, `namespace`, `run`."),
            may("job", "A Job that must succeed."),
            may("pods", "`ready`: all updated, available, on the digest asked for."),
            may("hpa", "`able`: the autoscaler can work."),
            may("analysis", "The gates."),
            may("backup", "The newest backup's age: `url`, `max-age`."),
            may("timeout", "Time to become true; 2m by default."),
            may("watch", "How long it must stay so."),
            may("on-fail", "rollback (the default), page or fail."),
        ],
    },
    Kind {
        name: "release",
        doc: "Makes and pushes an annotated tag.",
        one_choice: false,
        settings: &[must("tag", "The tag."), may("message", "Its message.")],
    },
    Kind {
        name: "notify",
        doc: "Sends one message, here and now.",
        one_choice: false,
        settings: &[
            may("slack", "A Slack webhook."),
            may("email", "Addresses, or `to`, `smtp`, `from`."),
            may("issue", "An issue: `labels`."),
            may("webhook", "A URL, or `url`, `headers`, `secret`."),
            may("teams", "A Teams webhook."),
            may("pagerduty", "A PagerDuty key."),
            may("sms", "Telephone numbers."),
            may("message", "The text."),
        ],
    },
];
