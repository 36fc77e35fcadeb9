//! Rules of the language, each by a file that keeps it and one that breaks it.

use slipway::model::{RetryOn, StepAction};

use crate::{errors, read};

/// What a file with the one stage `body` is told.
fn stage(body: &str) -> Vec<String> {
    errors(&read("rule.yml", &format!("stages:\n  s: {body}\n")).1)
}

#[test]
fn short_forms_are_read() {
    let text = "\
stages:
  image: {run: x}
  s:
    needs: image
    image: busybox
    services: {db: \"postgres:17\", cache: {image: redis, command: redis-server --save}}
    retry: {max: 2, on: [lost, timeout]}
    artifacts: [dist/, \"!dist/*.map\"]
    cache: {key: \"k-${{ hashFiles('lock') }}\", paths: ~/.npm, restore-keys: k-}
    reports: {junit: r.xml}
    network: own
    shell: sh
    working-directory: app
    env: {VERSION: 1.10, DEBUG: true, ID: 007}
    run: make
";
    let (pipeline, diagnostics) = read("short.yml", text);
    assert_eq!(errors(&diagnostics), Vec::<String>::new());
    let pipeline = pipeline.expect("valid");
    let job = &pipeline.jobs[1];
    assert_eq!(job.needs[0].value, "image");
    assert_eq!(job.container.as_ref().expect("a container").image.template.as_literal(), Some("busybox"));
    assert_eq!(job.services[1].container.command.len(), 2);
    let retry = job.retry.as_ref().expect("a retry");
    assert_eq!((retry.max.value, retry.on.as_slice()), (2, [RetryOn::Lost, RetryOn::Timeout].as_slice()));
    assert_eq!((job.artifacts.len(), job.cache.len(), job.cache[0].paths.len(), job.reports.junit.len()), (2, 1, 1, 1));
    assert!(job.own_network);
    let env: Vec<_> = job.env.iter().map(|e| e.value.template.as_literal().expect("literal")).collect();
    assert_eq!(env, ["1.10", "true", "007"], "text is the letters as written");
    let StepAction::Run { shell, working_directory, .. } = &job.steps[0].action else { panic!("a script") };
    assert!(shell.is_some() && working_directory.is_some());
}

#[test]
fn one_thing_of_each_kind_is_refused() {
    for (body, wanted) in [
        ("{run: x, retry: {max: 2, on: never}}", "\"on\" cannot be \"never\""),
        ("{run: x, network: host}", "\"network\" cannot be \"host\""),
        ("{run: x, timeout-minutes: soon}", "\"timeout-minutes\" is a number or one expression, not \"soon\""),
        ("{run: x, continue-on-error: yes}", "\"continue-on-error\" is true or false or one expression, not \"yes\""),
        ("{run: x, image: a, container: b}", "\"container\" cannot stand beside \"image\""),
        ("{run: x, concurrency: \"\"}", "the concurrency group must be a text"),
        ("{run: x, permissions: {contents: all}}", "\"contents\" cannot be \"all\""),
        ("{run: x, strategy: {matrix: {a: []}}}", "the matrix vector \"a\" does not contain any values"),
        ("{run: x, strategy: {matrix: {a: [1], exclude: [{b: 1}]}}}", "\"exclude\" names \"b\""),
        ("{run: x, strategy: {max-parallel: 0}}", "\"max-parallel\" must be a whole number"),
        ("{run: x, matrix: {a: [1]}}", "\"matrix\" is not a key of a stage"),
        ("{run: [x]}", "\"run\" is a text, but this is a list"),
        ("{run: x, needs: {a: 1}}", "\"needs\" is a text or a list of texts"),
        ("make", "the stage \"s\" is a map of keys"),
        ("{steps: [{id: a, run: x}, {id: A, run: y}]}", "the id \"A\" is used by two steps"),
        ("{run: x, env: {A: \"${{ steps.a }}\"}}", "Unrecognized named-value: 'steps'"),
        ("{run: x, if: \"secrets.A == ''\"}", "Unrecognized named-value: 'secrets'"),
        ("{<<: {run: x}, run: y}", "merge keys"),
        ("{run: !x y}", "the tag \"!x\" is not supported"),
    ] {
        let found = stage(body);
        assert!(found.iter().any(|e| e.contains(wanted)), "{body}: {found:?}");
    }
}

#[test]
fn triggers_are_checked() {
    let on = |on: &str| errors(&read("on.yml", &format!("on: {on}\nstages: {{s: {{run: x}}}}\n")).1);
    assert_eq!(on("{push: {branches: [a]}, schedule: [{cron: \"0 3 * * *\"}]}"), Vec::<String>::new());
    assert!(on("{push: {branches: [a], branches-ignore: [b]}}")[0].contains("exclude each other"));
    assert!(on("{schedule: [{cron: \"0 25 * * *\"}]}")[0].contains("the hour \"25\" is not 0 to 23"));
    assert!(on("pul_request")[0].contains("no known event"));
    assert!(on("{workflow_dispatch: {inputs: {a: {type: choice}}}}")[0].contains("a choice without \"options\""));
    assert!(on("{push: {branch: [a]}}")[0].contains("\"branch\" is not a key of push"));
}

#[test]
fn text_around_an_expression_makes_a_condition_true_and_says_so() {
    let (pipeline, diagnostics) = read("if.yml", "stages:\n  s: {run: x, if: \"a ${{ github.ref }} {b} 'c'\"}\n");
    assert_eq!(diagnostics.list[0].code, "W001");
    let condition = pipeline.expect("valid").jobs[0].condition.clone().expect("a condition");
    assert_eq!(&*condition.expr.source, "format('a {0} {{b}} ''c''', github.ref)");
}

#[test]
fn an_empty_file_and_two_languages_are_refused() {
    for empty in ["", "\n", "# nothing\n", "---\n", "~"] {
        assert!(errors(&read("e.yml", empty).1)[0].contains("the file holds no pipeline"), "{empty:?}");
    }
    let both = errors(&read("b.yml", "jobs: {a: {runs-on: x}}\nstages: {b: {run: x}}\n").1);
    assert!(both[0].contains("\"stages\" cannot stand beside \"jobs\""), "{both:?}");
}
