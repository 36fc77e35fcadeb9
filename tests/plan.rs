//! `slipway plan` from outside: the real binary in real checkouts.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

/// A checkout with files in it, and what the command said.
struct Checkout {
    folder: TempDir,
}

struct Said {
    out: String,
    err: String,
    code: i32,
}

impl Checkout {
    fn new(files: &[(&str, &str)]) -> Self {
        let checkout = Self { folder: TempDir::new().unwrap() };
        checkout.git(&["init", "-q", "-b", "main", "."]);
        checkout.commit(files);
        checkout
    }

    fn commit(&self, files: &[(&str, &str)]) {
        files.iter().for_each(|(name, text)| self.write(name, text));
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "-m", "change"]);
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn git(&self, args: &[&str]) {
        let identity = ["-c", "user.name=ann", "-c", "user.email=ann@h.example", "-c", "commit.gpgsign=false"];
        let status = self.program("git").args(identity).args(args).status().unwrap();
        assert!(status.success(), "git {args:?}");
    }

    fn program(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        command
    }

    fn plan(&self, args: &[&str]) -> Said {
        self.plan_with(args, &[])
    }

    fn plan_with(&self, args: &[&str], env: &[(&str, &str)]) -> Said {
        let mut command = self.program(env!("CARGO_BIN_EXE_slipway"));
        let output = command.arg("plan").args(args).envs(env.iter().copied()).output().unwrap();
        Said {
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
            code: output.status.code().unwrap(),
        }
    }
}

impl Said {
    fn json(&self) -> Value {
        assert_eq!(self.code, 0, "{}", self.err);
        serde_json::from_str(&self.out).unwrap()
    }

    fn stages(&self) -> Vec<String> {
        let json = self.json();
        let stages = json["plans"][0]["stages"].as_array().unwrap();
        stages.iter().map(|stage| stage["stage"].as_str().unwrap().to_owned()).collect()
    }

    fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}\n{}", self.out, self.err);
        words.iter().for_each(|word| assert!(self.err.contains(word), "{word:?} is not in:\n{}", self.err));
    }
}

const DEMO: &str = r#"
name: demo
on: {push: {branches: [main]}, workflow_dispatch: {}}
env: {LEVEL: "3", TOKEN: "${{ secrets.TOKEN }}"}
stages:
  lint: {run: "echo lint ${{ github.ref_name }}"}
  test:
    image: "node:${{ matrix.v }}"
    strategy: {matrix: {v: [18, 20]}}
    services: {db: "postgres:17"}
    retry: {max: 2, on: lost}
    timeout-minutes: 5
    steps:
      - {name: Install, run: npm ci}
      - {id: t, run: "npm test ${{ github.run_id }}", env: {Q: "${{ env.LEVEL }}"}}
    outputs: {x: "${{ steps.t.outputs.x }}"}
  deploy: {needs: [lint, test], if: "github.event_name == 'release'", run: "curl ${{ secrets.TOKEN }}"}
  after: {needs: deploy, run: 'true'}
  late: {needs: test, if: needs.test.outputs.x == '1', run: 'true'}
  wide: {needs: test, strategy: {matrix: {k: "${{ fromJSON(needs.test.outputs.x) }}"}}, run: "echo ${{ matrix.k }}"}
"#;

#[test]
fn the_text_shows_what_would_run() {
    let checkout = Checkout::new(&[("slipway.yml", DEMO)]);
    let said = checkout.plan_with(&[], &[("SLIPWAY_SECRET_TOKEN", "hush-hush")]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    let body = said.out.split_once("\n\n").unwrap().1;
    insta::assert_snapshot!(body, @r#"
    lint
      where       host (it has no image)
      env         LEVEL=3
                  TOKEN=***
      step 1      [bash -e]
        $ echo lint main

    test
      retry       up to 2 more, on lost
      test (18)
        where       docker, image node:18 (its image)
        network     its own
        service     db: postgres:17
        timeout     5 minutes
        env         LEVEL=3
                    TOKEN=***
        step 1      Install [sh -e]
          $ npm ci
        step 2      t [sh -e]
          env         Q=3
          $ npm test ${{ github.run_id }}
        outputs     x=${{ steps.t.outputs.x }}
      test (20)
        where       docker, image node:20 (its image)
        network     its own
        service     db: postgres:17
        timeout     5 minutes
        env         LEVEL=3
                    TOKEN=***
        step 1      Install [sh -e]
          $ npm ci
        step 2      t [sh -e]
          env         Q=3
          $ npm test ${{ github.run_id }}
        outputs     x=${{ steps.t.outputs.x }}
      not known   github.run_id

    deploy  needs lint, test
      skipped     `github.event_name == 'release'` is false, with github.event_name = 'push'

    after  needs deploy
      skipped     "deploy" before it is skipped

    late  needs test
      if          needs.test.outputs.x == '1'
      runs?       not known yet: waits for needs.test.outputs.x
      where       host (it has no image)
      env         LEVEL=3
                  TOKEN=***
      step 1      [bash -e]
        $ true

    wide  needs test
      jobs        not known yet: the matrix waits for needs.test.outputs.x
      where       host (it has no image)
      env         LEVEL=3
                  TOKEN=***
      step 1      [bash -e]
        $ echo ${{ matrix.k }}
      not known   matrix.k, needs.test.outputs.x
    "#);
}

#[test]
fn the_json_is_versioned_and_says_the_same() {
    let checkout = Checkout::new(&[("slipway.yml", DEMO)]);
    let json = checkout.plan_with(&["--format", "json"], &[("SLIPWAY_SECRET_TOKEN", "hush-hush")]).json();
    assert_eq!(json["version"], 1);
    let plan = &json["plans"][0];
    assert_eq!(
        (&plan["name"], &plan["event"], &plan["ref"]),
        (&"demo".into(), &"push".into(), &"refs/heads/main".into())
    );
    assert_eq!((plan["sha"].as_str().unwrap().len(), plan["hash"].as_str().unwrap().len()), (40, 64));
    let test = &plan["stages"][1];
    assert_eq!(test["jobs"][1]["place"]["image"], "node:20");
    assert_eq!(test["jobs"][1]["steps"][1]["run"]["waits_for"][0], "github.run_id");
    assert_eq!(test["jobs"][1]["steps"][1]["env"][0]["text"], "3");
    assert_eq!(plan["stages"][2]["when"]["state"], "skipped");
    let late = plan["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "late").unwrap();
    assert_eq!(late["when"], serde_json::json!({"state": "unknown", "why": "waits for needs.test.outputs.x"}));
    let wide = plan["stages"].as_array().unwrap().iter().find(|stage| stage["stage"] == "wide").unwrap();
    assert_eq!((&wide["jobs"], &wide["matrix_waits_for"][0]), (&Value::Null, &"needs.test.outputs.x".into()));
    assert!(!json.to_string().contains("hush"));
}

#[test]
fn no_secret_is_shown_wherever_it_stands() {
    let file = "stages: {a: {env: {A: '${{ secrets.S }}', B: '${{ inputs.i }}', C: '${{ secrets.S == ''x'' }}'}, run: 'echo hush-hush'}}";
    let checkout = Checkout::new(&[("p.yml", file)]);
    for format in ["text", "json"] {
        let said = checkout.plan(&["p.yml", "--secret", "S=hush-hush", "--input", "i=hush-hush", "--format", format]);
        assert!(said.code == 0 && said.out.contains("***") && !said.out.contains("hush"), "{}", said.out);
        assert!(said.out.contains("${{ secrets.S == 'x' }}"), "{}", said.out);
    }
}

#[test]
fn stages_are_selected() {
    let checkout = Checkout::new(&[("slipway.yml", DEMO)]);
    let json = ["--format", "json", "--secret", "TOKEN=x"];
    let with = |args: &[&str]| checkout.plan(&[&json[..], args].concat());
    assert_eq!(with(&["--stage", "late"]).stages(), ["test", "late"]);
    assert_eq!(with(&["--from", "deploy"]).stages(), ["deploy", "after"]);
    assert_eq!(with(&["--stage", "lint", "--from", "late"]).stages(), ["lint", "late"]);
    let one = with(&["--stage", "test", "--matrix", "v:20"]).json();
    assert_eq!(one["plans"][0]["stages"][0]["jobs"].as_array().unwrap().len(), 1);
    with(&["--stage", "lnt"]).fails(3, &["--stage names \"lnt\"", "did you mean \"lint\"?"]);
    with(&["--matrix", "v:9"]).fails(3, &["no leg agrees with --matrix v:9"]);
}

#[test]
fn what_cannot_run_is_refused_by_name() {
    let checkout = Checkout::new(&[
        ("a.yml", "on: push\njobs: {a: {runs-on: x, steps: [{uses: 'actions/setup-node@v4'}]}}\n"),
        ("b.yml", "stages: {image: {build: {tags: [a], platforms: [b]}}, test: {run: make}}\n"),
    ]);
    checkout.plan(&["a.yml"]).fails(3, &["E052", "actions/setup-node@v4"]);
    checkout.plan(&["b.yml"]).fails(3, &["E052", "\"build\" has \"platforms\""]);
    assert_eq!(checkout.plan(&["b.yml", "--stage", "test"]).code, 0);
    checkout.plan(&["b.yml", "--stage", "test", "--runner", "docker"]).fails(3, &["E063", "\"image:\""]);
    assert_eq!(checkout.plan(&["b.yml", "--stage", "test", "--runner", "host"]).code, 0);
}

#[test]
fn untrusted_text_is_refused_in_stages_and_a_warning_in_workflows() {
    let checkout = Checkout::new(&[
        ("s.yml", "stages: {a: {run: 'echo \"${{ github.event.issue.title }}\"'}}\n"),
        ("w.yml", "on: push\njobs: {a: {runs-on: host, steps: [{run: 'echo ${{ toJSON(github.event) }}'}]}}\n"),
    ]);
    checkout.plan(&["s.yml"]).fails(3, &["E064", "env: {ISSUE_TITLE: \"${{ github.event.issue.title }}\"}"]);
    checkout.plan(&["w.yml"]).fails(0, &["warning[W010]", "github.event"]);
}

#[test]
fn inputs_are_typed_and_checked() {
    let file = "
on: {workflow_dispatch: {inputs: {who: {required: true}, loud: {type: boolean}, n: {type: number, default: 2}, level: {type: choice, options: [low, high], default: low}}}}
stages: {a: {if: inputs.loud, env: {N: '${{ inputs.n + 0 == 2 }}', E: '${{ github.event.inputs.loud }}', W: '${{ inputs.who }}'}, run: 'true'}}
".replace(" + 0", "");
    let checkout = Checkout::new(&[("slipway.yml", &file)]);
    let stage = |args: &[&str]| {
        checkout.plan(&[&["--format", "json"][..], args].concat()).json()["plans"][0]["stages"][0].clone()
    };
    let loud = stage(&["--input", "who=me", "--input", "loud=true"]);
    let env: Vec<&str> = loud["jobs"][0]["env"].as_array().unwrap().iter().filter_map(|e| e["text"].as_str()).collect();
    assert_eq!((env, &loud["when"]["state"]), (vec!["true", "true", "me"], &"runs".into()));
    let quiet = stage(&["--event", "workflow_dispatch", "--input", "who=me"]);
    assert_eq!(quiet["when"]["why"], "`inputs.loud` is false, with inputs.loud = false");
    checkout.plan(&["--event", "workflow_dispatch"]).fails(2, &["requires the input \"who\"", "--input who=TEXT"]);
    let wrong = ["--input", "who=x", "--input", "level=hihg", "--input", "lod=true"];
    checkout.plan(&wrong).fails(2, &["did you mean \"high\"?", "did you mean \"loud\"?"]);
}

#[test]
fn filters_decide_in_folders() {
    let workflow = |on: &str| format!("on: {on}\njobs: {{a: {{runs-on: host, steps: [{{run: 'true'}}]}}}}\n");
    let checkout = Checkout::new(&[
        (".github/workflows/main.yml", &workflow("{push: {branches: [main]}}")),
        (".github/workflows/docs.yml", &workflow("{push: {paths: ['docs/**']}}")),
        (".github/workflows/release.yml", &workflow("release")),
    ]);
    let files = |args: &[&str]| -> Vec<String> {
        let json = checkout.plan(&[&["--format", "json"][..], args].concat()).json();
        let plans = json["plans"].as_array().unwrap();
        plans.iter().map(|plan| plan["file"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()).collect()
    };
    // A first commit has no parent: what changed is not known.
    assert_eq!(files(&[]), ["docs.yml", "main.yml"]);
    checkout.commit(&[("src/a", "1")]);
    assert_eq!(files(&[]), ["main.yml"]);
    checkout.commit(&[("docs/a", "1")]);
    assert_eq!(files(&[]), ["docs.yml", "main.yml"]);
    assert_eq!(files(&["--event", "release"]), ["release.yml"]);
    assert_eq!(files(&[".github/workflows/release.yml"]), ["release.yml"]);
    checkout.git(&["checkout", "-q", "-b", "dev"]);
    checkout.commit(&[("src/a", "2")]);
    checkout
        .plan(&[])
        .fails(6, &["\"dev\" is none of \"branches\" main", "docs.yml: no changed file", "it runs for release"]);
    checkout.plan(&["--event", "relase"]).fails(2, &["did you mean \"release\"?"]);
}

#[test]
fn a_payload_speaks_for_its_event() {
    let file = "on: pull_request\nstages: {a: {env: {T: '${{ github.base_ref }} ${{ github.head_ref }} ${{ github.ref }}'}, run: 'true'}}\n";
    let event = r#"{"action": "opened", "number": 7, "pull_request": {"number": 7, "head": {"ref": "t", "sha": "22"}, "base": {"ref": "main"}}}"#;
    let checkout = Checkout::new(&[("slipway.yml", file), ("event.json", event)]);
    let args = ["--format", "json", "--event", "pull_request", "--event-path", "event.json"];
    let json = checkout.plan(&args).json();
    let plan = &json["plans"][0];
    assert_eq!(plan["stages"][0]["jobs"][0]["env"][0]["text"], "main t refs/pull/7/merge");
    assert_eq!(plan["sha"], "22");
}

#[test]
fn warnings_and_a_dirty_tree_are_said_and_all_files_mistakes_come_together() {
    let checkout = Checkout::new(&[("slipway.yml", "stages: {a: {run: 'echo ${{ secrets.MISSING }}'}}\n")]);
    let clean = checkout.plan(&[]);
    assert!(clean.err.contains("W013") && !clean.err.contains("working tree"), "{}", clean.err);
    checkout.write("other", "x");
    assert!(checkout.plan(&[]).err.contains("the working tree has changes that are not in commit"));
    checkout.write(".slipway/one.yml", "on: push\nstages: {a: {rum: x}}\n");
    checkout.write(".slipway/two.yml", "on: push\nstages: {b: {needs: c, run: x}}\n");
    checkout.write("slipway.yml", "on: push\nstages: {a: {run: 'echo ${{ secrets.MISSING }}'}}\n");
    checkout.plan(&[]).fails(3, &["one.yml", "two.yml", "W013"]);
}

#[test]
fn variables_come_from_the_environment_too() {
    let file = "stages: {a: {env: {A: '${{ vars.ONE }} ${{ vars.TWO }}'}, run: 'true'}}\n";
    let checkout = Checkout::new(&[("slipway.yml", file)]);
    let env = [("SLIPWAY_VAR_ONE", "1"), ("SLIPWAY_VAR_TWO", "2")];
    let said = checkout.plan_with(&["--var", "TWO=3"], &env);
    assert!(said.out.contains("A=1 3"), "{}", said.out);
}
