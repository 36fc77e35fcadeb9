//! The seed's project as its people have it: a repository with an origin, two namespaces, a database, and those who are told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::project::Ran;
use super::sink::{Sink, known_as};
use super::{Ground, Namespace};

/// A key of 32 bytes, in hexadecimal digits.
const BACKUP_KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// The project.
pub(crate) struct Moodify {
    temp: tempfile::TempDir,
    pub(crate) ground: &'static Ground,
    pub(crate) staging: Namespace,
    pub(crate) production: Namespace,
    pub(crate) slack: Sink,
    database: String,
    image: String,
}

impl Moodify {
    /// With the pipeline's text, in which five minutes are made three seconds.
    pub(crate) fn new(ground: &'static Ground, about: &str, pipeline: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let staging = Namespace::new(ground, &format!("moo-{about}-staging"));
        let production = Namespace::new(ground, &format!("moo-{about}-production"));
        let database = database(ground, &production);
        let image = format!("{}/{}", ground.registry, production.name);
        let moodify = Self { temp, ground, staging, production, slack: Sink::start(), database, image };
        moodify.write_project(pipeline);
        moodify.write_config();
        moodify
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.temp.path().join("project").join(path)
    }

    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn write_project(&self, pipeline: &str) {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/moodify");
        for part in ["backend", "frontend"] {
            fs::create_dir_all(self.path(part)).unwrap();
        }
        for file in
            ["backend/Dockerfile", "backend/moodify", "frontend/Dockerfile", "frontend/moodify", "frontend/index.html"]
        {
            fs::copy(example.join(file), self.path(file)).unwrap();
        }
        fs::create_dir_all(self.path("k8s")).unwrap();
        for entry in fs::read_dir(example.join("k8s")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), self.path("k8s").join(entry.file_name())).unwrap();
        }
        self.behave("good", "ERRORS=0");
        let package = r#"{
  "name": "moodify",
  "scripts": {
    "lint": "grep -q moodify frontend/index.html || grep -q Moodify frontend/index.html",
    "test": "mkdir -p reports && echo '<testsuite name=\"moods\"><testcase name=\"calm\"/></testsuite>' > reports/moods.xml"
  }
}
"#;
        self.file("package.json", package);
        self.file("package-lock.json", "{}\n");
        self.file(".gitignore", "incidents/\nreports/\n");
        self.file("moodify.yml", &pipeline.replace(" 5m", " 3s"));
        let origin = self.temp.path().join("origin.git");
        self.git(&["init", "-q", "--bare", origin.to_str().unwrap()]);
        self.git(&["init", "-q", "-b", "master"]);
        self.git(&["remote", "add", "origin", origin.to_str().unwrap()]);
    }

    /// What the next commit's back end does.
    pub(crate) fn behave(&self, about: &str, settings: &str) {
        self.file("backend/settings", &format!("# {about}\n{settings}\n"));
    }

    fn write_config(&self) {
        let environment = |name: &str, namespace: &Namespace| {
            let host = format!("{}.local", namespace.name);
            let url = known_as(&self.ground.edge, &host);
            format!(
                "[environments.{name}]\nnamespace = \"{}\"\nurl = \"{url}\"\nvars = {{HOST = \"{host}\"}}\n",
                namespace.name
            )
        };
        let text = environment("staging", &self.staging) + &environment("production", &self.production);
        fs::write(self.temp.path().join("slipway.toml"), text).unwrap();
    }

    pub(crate) fn git(&self, args: &[&str]) -> String {
        let output = Command::new("git")
            .args(["-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false"])
            .args(args)
            .current_dir(self.path(""))
            .output()
            .unwrap();
        assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Commits all and pushes it; gives the commit.
    pub(crate) fn push(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", message]);
        self.git(&["push", "-q", "origin", "master"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// The address at which users reach an environment.
    pub(crate) fn address(&self, namespace: &Namespace) -> (String, String) {
        (self.ground.edge.clone(), format!("{}.local", namespace.name))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(args).current_dir(self.path("")).env_clear().stdin(Stdio::null());
        for name in ["PATH", "DOCKER_HOST"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("HOME", self.temp.path()).env("SLIPWAY_HOME", self.temp.path().join("state"));
        command.env("SLIPWAY_CONFIG", self.temp.path().join("slipway.toml")).env("KUBECONFIG", &self.ground.kubeconfig);
        if let Some(mail) = &self.ground.mail {
            let server = mail.split(' ').next().unwrap();
            let url = if server.contains("://") { server.to_owned() } else { format!("smtp://{server}") };
            command.env("SLIPWAY_SMTP", url).env("SLIPWAY_MAIL_FROM", "slipway@example.com");
        }
        for (name, value) in self.secrets() {
            command.env(format!("SLIPWAY_SECRET_{name}"), value);
        }
        command
    }

    fn secrets(&self) -> [(&'static str, String); 5] {
        [
            ("DATABASE", self.database.clone()),
            ("BACKUP_KEY", BACKUP_KEY.into()),
            ("SLACK", self.slack.url()),
            ("SONAR", "sonar".into()),
            ("SNYK", "snyk".into()),
        ]
    }

    pub(crate) fn slipway(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// What `run` and `plan` are told on the command line: the hosts of this ground.
    fn on_this_ground(&self) -> Vec<String> {
        let prometheus = self.ground.prometheus.as_ref().map_or("http://127.0.0.1:9", |(url, _)| url);
        let s3 = self.ground.s3.clone().unwrap_or_default();
        let pairs = [
            ("--env", format!("IMAGE={}", self.image)),
            ("--env", format!("AWS_ENDPOINT_URL={s3}")),
            ("--env", "AWS_ALLOW_HTTP=true".into()),
            ("--env", "AWS_ACCESS_KEY_ID=test".into()),
            ("--env", "AWS_SECRET_ACCESS_KEY=test".into()),
            ("--env", "AWS_REGION=us-east-1".into()),
            ("--var", format!("PROMETHEUS={prometheus}")),
            ("--var", "SONAR_URL=http://sonar.local".into()),
        ];
        pairs.into_iter().flat_map(|(option, value)| [option.to_owned(), value]).collect()
    }

    pub(crate) fn plan(&self, strategy: &str) -> Ran {
        self.with_options(&["plan", "moodify.yml", "--input", &format!("strategy={strategy}")])
    }

    fn with_options(&self, args: &[&str]) -> Ran {
        let options = self.on_this_ground();
        let all: Vec<&str> = args.iter().copied().chain(options.iter().map(String::as_str)).collect();
        self.slipway(&all)
    }

    /// Runs to the approval, approves as one of ops, and runs on to the end.
    pub(crate) fn release(&self, strategy: &str) -> Ran {
        let strategy = format!("strategy={strategy}");
        let first = self.with_options(&["run", "moodify.yml", "--no-wait", "--input", &strategy]).exits(10);
        let run = self.newest_run();
        self.slipway(&["approve", &run, "approval", "--as", "ops", "--comment", "go"]).exits(0);
        let mut rest = self.slipway(&["resume", &run]);
        rest.stdout.insert_str(0, &first.stdout);
        rest
    }

    pub(crate) fn newest_run(&self) -> String {
        let list = self.slipway(&["runs", "--json"]).exits(0);
        let first: serde_json::Value = match serde_json::from_str(&list.stdout) {
            Ok(serde_json::Value::Array(all)) => all[0].clone(),
            _ => serde_json::from_str(list.stdout.lines().next().unwrap()).unwrap(),
        };
        first["run"].as_str().or(first["id"].as_str()).unwrap().to_owned()
    }
}

/// PostgreSQL in a namespace; gives the URI by which pods and this machine reach it.
fn database(ground: &Ground, namespace: &Namespace) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/moodify/database.yaml");
    let text = fs::read_to_string(path).unwrap();
    namespace.apply(&text.replace("127.0.0.1:5000/slipway-test/postgres:1", &ground.database));
    namespace.kubectl(&["rollout", "status", "statefulset/postgres", "--timeout=90s"]);
    let service = namespace.object("service", "postgres").unwrap();
    let address = service["spec"]["clusterIP"].as_str().unwrap().to_owned();
    let answers = || std::net::TcpStream::connect(format!("{address}:5432")).is_ok();
    namespace.until("the database answers", answers);
    format!("postgres://moodify:moodify@{address}/moodify")
}
