//! Files: artifacts, caches, checkouts, large logs, runs beside one another.

use crate::ci::Ci;

#[test]
fn artifacts_reach_those_who_need_them() {
    let ci = Ci::new(
        "stages:
  a: {artifacts: ['out/*.txt', '!out/no.txt'], run: 'mkdir out; echo yes > out/a.txt; echo no > out/no.txt'}
  b: {needs: a, run: 'cat out/a.txt; ls out'}
  c: {run: 'ls'}
",
    );
    ci.slipway(&["run"]).exits(0).says("[b] yes").does_not_say("[b] no.txt");
    assert!(!ci.project().join("out").exists(), "the checkout itself is not touched");
}

#[test]
fn caches_live_from_run_to_run() {
    let ci = Ci::new(
        "stages:
  a:
    cache: {key: \"k-${{ hashFiles('lock') }}\", restore-keys: [k-], paths: [kept]}
    run: 'cat kept/file || true; mkdir -p kept; echo more >> kept/file; wc -l < kept/file > $MARKS/lines'
",
    )
    .file("lock", "1");
    let lines = |ci: &Ci| ci.marked("lines").trim().to_owned();
    ci.slipway(&["run"]).exits(0);
    assert_eq!(lines(&ci), "1");
    ci.slipway(&["run"]).exits(0);
    assert_eq!(lines(&ci), "2");
    let ci = ci.file("lock", "2");
    ci.slipway(&["run"]).exits(0);
    assert_eq!(lines(&ci), "2", "a key that exists is not written again; a new one begins from it");
    ci.slipway(&["run"]).exits(0);
    assert_eq!(lines(&ci), "3");
}

#[test]
fn rerun_of_what_failed_keeps_the_rest() {
    let ci = Ci::new(
        "stages:
  a:
    outputs: {word: '${{ steps.s.outputs.word }}'}
    artifacts: [made]
    steps: [{id: s, run: 'echo a >> $MARKS/m; echo word=salt >> $GITHUB_OUTPUT; echo kept > made'}]
  b: {needs: a, run: 'echo b >> $MARKS/m; [ -e $MARKS/fixed ] && echo \"${{ needs.a.outputs.word }} $(cat made)\"'}
  c: {needs: b, run: 'echo c >> $MARKS/m'}
",
    );
    ci.slipway(&["run"]).exits(1);
    let first = ci.newest();
    std::fs::write(ci.mark("fixed"), "").unwrap();
    ci.slipway(&["rerun", &first, "--failed"]).exits(0).says("salt kept");
    assert_eq!(ci.marked("m"), "a\nb\nb\nc\n");
    ci.slipway(&["rerun", &ci.newest()]).exits(0);
    assert_eq!(ci.marked("m"), "a\nb\nb\nc\na\nb\nc\n");
}

#[test]
fn runs_beside_one_another_do_not_meet() {
    let ci = Ci::new(
        "defaults: {run: {shell: sh}}
stages:
  a:
    run: |
      echo x >> $MARKS/here
      while [ $(wc -l < $MARKS/here) -lt 3 ]; do sleep 0.02; done
      echo one >> own-file; [ $(wc -l < own-file) = 1 ]
",
    );
    // Each waits for the others, so all three are at work at once.
    let runs: Vec<_> = (0..3).map(|_| ci.start(&["run"])).collect();
    runs.into_iter().for_each(|run| drop(run.wait().exits(0)));
    assert!(!ci.project().join("own-file").exists());
    ci.assert_nothing_left();
}

#[test]
fn runs_in_place_take_turns() {
    let ci = Ci::new(
        "defaults: {run: {shell: sh}}
stages:
  a: {run: 'mkdir busy || exit 1; sleep 0.2; rmdir busy; echo x >> made'}
",
    );
    let runs: Vec<_> = (0..3).map(|_| ci.start(&["run", "--in-place"])).collect();
    runs.into_iter().for_each(|run| drop(run.wait().exits(0)));
    assert_eq!(std::fs::read_to_string(ci.project().join("made")).unwrap(), "x\nx\nx\n");
    ci.assert_nothing_left();
}

#[test]
fn large_output_is_kept_whole() {
    let ci = Ci::new("stages:\n  a: {shell: sh, run: 'seq 1 1500000'}\n");
    ci.slipway(&["run", "--quiet"]).exits(0);
    let log = ci.slipway(&["logs", &ci.newest(), "a"]).exits(0).stdout;
    let mut lines = log.lines().filter_map(|line| line.trim().parse::<u32>().ok());
    assert!((1..=1_500_000).all(|wanted| lines.next() == Some(wanted)));
    assert_eq!(lines.next(), None);
    ci.assert_nothing_left();
}

#[test]
fn a_long_line_and_bytes_that_are_no_text_pass() {
    let ci = Ci::new(
        "stages:\n  a: {steps: [{name: long, shell: sh, run: 'head -c 3000000 /dev/zero | tr \"\\0\" x; echo; printf \"\\377\\376 end\\n\"'}]}\n",
    );
    let ran = ci.slipway(&["run"]).exits(0);
    ran.says(" end");
    let log = ci.slipway(&["logs", &ci.newest(), "a"]).exits(0).stdout;
    assert_eq!(log.matches('x').count(), 3_000_000);
}

#[test]
fn github_workflows_run_from_their_folder() {
    let ci = Ci::new("stages:\n  a: {run: 'exit 1'}\n")
        .file(
            ".github/workflows/ci.yml",
            "name: CI
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: '[ ! -e README ] && echo empty at first'
      - uses: actions/checkout@v4
      - run: cat README
      - run: echo \"$GITHUB_JOB $GITHUB_EVENT_NAME $CI\"
",
        )
        .file("README", "read me\n");
    let ran = ci.slipway(&["run", "--runner", "host", ".github/workflows/ci.yml"]).exits(0);
    ran.says("empty at first").says("read me").says("build push true");
}

#[test]
fn runs_that_share_the_output_name_their_pipelines() {
    let ci = Ci::new("stages: {unused: {run: 'true'}}")
        .file(".slipway/a.yml", "{name: one, on: push, stages: {test: {run: 'echo first'}}}")
        .file(".slipway/b.yml", "{name: two, on: push, stages: {test: {run: 'echo second'}}}");
    ci.slipway(&["run"]).exits(0).says("[one › test] first").says("[two › test] second");
    ci.slipway(&["run", ".slipway/a.yml"]).exits(0).says("[test] first");
}

#[test]
fn the_present_folder_is_the_project_of_a_file_that_it_holds() {
    let text = "stages: {a: {run: 'ls; echo end'}}";
    let ci = Ci::new("stages: {unused: {run: 'true'}}").file("part/own.yml", text).file("part/inner", "");
    let git = std::process::Command::new("git").args(["init", "-q"]).current_dir(ci.project()).status();
    assert!(git.unwrap().success());
    let in_part = |file: &str| {
        let output = ci.command(&["run", file]).current_dir(ci.project().join("part")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let own = in_part("own.yml");
    assert!(own.contains("[a] inner") && !own.contains("[a] part"), "{own}");
    ci.slipway(&["run", "part/own.yml"]).exits(0).says("[a] part");
}
