//! Values that reach steps, and what steps say back.

use crate::ci::{Ci, events};

#[test]
fn files_of_a_step_reach_the_later_ones() {
    let ci = Ci::new(
        "defaults: {run: {shell: sh}}
stages:
  a:
    steps:
      - id: s
        run: |
          echo one=1 >> $GITHUB_OUTPUT
          printf 'many<<END\\nx\\ny\\nEND\\n' >> $GITHUB_OUTPUT
          echo WORD=salt >> $GITHUB_ENV
          mkdir bin; printf '#!/bin/sh\\necho from the tool\\n' > bin/own-tool; chmod +x bin/own-tool
          echo \"$PWD/bin\" >> $GITHUB_PATH
          echo '## Summary text' >> $GITHUB_STEP_SUMMARY
      - run: 'own-tool; echo \"$WORD ${{ steps.s.outputs.one }}\"; echo \"${{ steps.s.outputs.many }}\"'
",
    );
    ci.slipway(&["run"]).exits(0).says("from the tool").says("salt 1").says("] x\n").says("] y\n");
    let is_summary = |path: &std::path::PathBuf| path.extension().is_some_and(|ext| ext == "md");
    assert_eq!(ci.holding("## Summary text").iter().filter(|path| is_summary(path)).count(), 1);
}

#[test]
fn a_wrong_file_command_fails_its_step() {
    let ci = Ci::new("stages:\n  a: {shell: sh, run: 'echo no sign >> $GITHUB_OUTPUT'}\n");
    ci.slipway(&["run"]).exits(1).says("no sign");
}

#[test]
fn workflow_commands_are_obeyed() {
    let ci = Ci::new(
        "defaults: {run: {shell: sh}}
stages:
  a:
    steps:
      - id: s
        run: |
          echo '::error file=src/a.rs,line=3,title=Bad::it broke%0Atwice'
          echo '::warning::careful'
          echo '::notice::by the way'
          echo '::debug::not shown'
          echo '::group::Details'; echo inside; echo '::endgroup::'
          echo '::set-output name=v::7'
          echo '::add-mask::hide-this'; echo 'now hide-this'
          echo '::stop-commands::tok-en-1'; echo '::error::only text'; echo '::tok-en-1::'
      - run: echo v is ${{ steps.s.outputs.v }}
",
    );
    let ran = ci.slipway(&["run", "--json"]).exits(0);
    let events = events(&ran.stdout);
    let annotations: Vec<String> = events["annotated"]
        .iter()
        .map(|a| format!("{} {}", a["annotation"]["level"], a["annotation"]["message"]))
        .collect();
    assert_eq!(annotations, ["\"error\" \"it broke\\ntwice\"", "\"warning\" \"careful\"", "\"notice\" \"by the way\""]);
    assert_eq!(events["annotated"][0]["annotation"]["line"], 3);
    let text: String = events["output"].iter().filter_map(|o| o["text"].as_str()).collect();
    for (shown, wanted) in
        [("inside", true), ("v is 7", true), ("now ***", true), ("::error::only text", true), ("not shown", false)]
    {
        assert_eq!(text.contains(shown), wanted, "{shown}: {text}");
    }
}

#[test]
fn options_give_values() {
    let ci = Ci::new(
        "on:
  workflow_dispatch:
    inputs: {who: {default: nobody}, loud: {type: boolean}}
env: {E: file, F: file}
stages:
  a: {shell: sh, run: 'echo \"${{ inputs.who }} ${{ inputs.loud && 1 || 0 }} ${{ vars.V }} $E $F ${{ env.E }}\"'}
",
    );
    let args = [
        "run",
        "--event",
        "workflow_dispatch",
        "--input",
        "who=you",
        "--input",
        "loud=true",
        "--var",
        "V=v",
        "--env",
        "E=mine",
    ];
    ci.slipway(&args).exits(0).says("you 1 v mine file mine");
    ci.slipway(&["run", "--event", "workflow_dispatch"]).exits(0).says("nobody 0  file file file");
    ci.slipway(&["run", "--event", "workflow_dispatch", "--input", "no=1"]).exits(2);
}

#[test]
fn parts_of_a_pipeline_can_be_run() {
    let ci = Ci::new(
        "stages:
  a: {run: 'echo a >> $MARKS/m'}
  b: {needs: a, strategy: {matrix: {n: [1, 2]}}, run: 'echo b${{ matrix.n }} >> $MARKS/m'}
  c: {needs: b, run: 'echo c >> $MARKS/m'}
",
    );
    for (args, wanted) in [
        (vec!["--stage", "a"], "a"),
        (vec!["--stage", "b", "--matrix", "n:2"], "a b2"),
        (vec!["--from", "b", "--jobs", "1"], "b1 b2 c"),
        (vec!["--jobs", "1"], "a b1 b2 c"),
    ] {
        let _ = std::fs::remove_file(ci.mark("m"));
        ci.slipway(&[vec!["run"], args.clone()].concat()).exits(0);
        assert_eq!(ci.marked("m").split_whitespace().collect::<Vec<_>>().join(" "), wanted, "{args:?}");
    }
    ci.slipway(&["run", "--stage", "nope"]).exits(3).complains("nope");
}

#[test]
fn shells_and_folders() {
    let ci = Ci::new(
        "stages:
  a:
    defaults: {run: {working-directory: sub}}
    steps:
      - {shell: sh, run: 'echo $0 in ${PWD##*/}'}
      - {shell: bash, run: 'set -o | grep pipefail; echo ${BASH_VERSION:+is bash}'}
      - {run: 'false | true; echo goes on'}
      - {shell: python, working-directory: sub/deep, run: 'import os; print(os.path.basename(os.getcwd()))'}
      - {shell: 'sh -ex {0}', run: 'echo custom'}
",
    )
    .file("sub/deep/file", "x");
    ci.slipway(&["run"]).exits(0).says("in sub").says("is bash").says("goes on").says("] deep").says("+ echo custom");
    Ci::new("stages:\n  a: {shell: bash, run: 'false | true; echo goes on'}\n").slipway(&["run"]).exits(1);
    Ci::new("stages:\n  a: {shell: no-such-shell, run: x}\n").slipway(&["run"]).exits(3).complains("no-such-shell");
    Ci::new("stages:\n  a: {working-directory: none, run: x}\n").slipway(&["run"]).exits(1).says("none");
}
