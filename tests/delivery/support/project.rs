//! A project with one pipeline that releases the application, and the real binary that runs it.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::{App, Namespace};

/// What the binary did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Ran {
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "{}{}", self.stdout, self.stderr);
        self
    }

    pub(crate) fn says(self, text: &str) -> Self {
        assert!(
            self.stdout.contains(text) || self.stderr.contains(text),
            "no {text:?} in: {}{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// A project.
pub(crate) struct Project {
    temp: tempfile::TempDir,
    kubeconfig: String,
    namespace: String,
    images: String,
}

impl Project {
    /// One whose stage `production` releases `app` into `namespace`; `deploy` are more settings of the deploy, a flow map's inside.
    pub(crate) fn new(namespace: &Namespace, app: &App, deploy: &str) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let project = Self {
            temp,
            kubeconfig: namespace.ground.kubeconfig.clone(),
            namespace: namespace.name.clone(),
            images: namespace.ground.images.clone(),
        };
        project.file("app.yaml", &app.manifests(namespace));
        project.deploys(deploy, "");
        project
    }

    /// Writes the pipeline anew; `stages` are more of them.
    pub(crate) fn deploys(&self, deploy: &str, stages: &str) {
        let namespace = &self.namespace;
        self.file(
            "slipway.yml",
            &format!(
                "name: delivery
on: workflow_dispatch
environments:
  test: {{namespace: {namespace}}}
stages:
  production:
    deploy: {{app: backend, environment: test, manifests: app.yaml, settle: 1s, drain: 1s, {deploy}}}
{stages}"
            ),
        );
    }

    pub(crate) fn file(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.temp.path().join("project").join(path)
    }

    /// The binary in this project, with nothing of this machine's environment but the cluster.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(args).current_dir(self.temp.path().join("project")).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.temp.path());
        command.env("SLIPWAY_HOME", self.temp.path().join("state")).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    pub(crate) fn slipway(&self, args: &[&str]) -> Ran {
        self.command(args).output().unwrap().into()
    }

    /// Deletes all that Slipway knows of runs.
    pub(crate) fn forget_runs(&self) {
        fs::remove_dir_all(self.temp.path().join("state")).unwrap();
    }

    /// Runs the pipeline for an image of the application.
    pub(crate) fn release(&self, tag: &str) -> Ran {
        let image = format!("IMAGE={}:{tag}", self.images);
        self.slipway(&["run", "slipway.yml", "--var", &image, "--verbose"])
    }
}
