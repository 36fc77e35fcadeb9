//! The pipelines of the language's reference are valid, every key of them.

use crate::{errors, files, ground, read};

#[test]
fn every_pipeline_of_the_reference_is_read_without_a_mistake() {
    let Some(folder) = ground("language") else { return };
    let files = files(folder);
    assert!(files.len() >= 9, "the reference has {} files", files.len());
    for (name, text) in files {
        let (pipeline, diagnostics) = read(&name, &text);
        assert!(diagnostics.list.is_empty(), "{name}: {:?}", diagnostics.list);
        assert!(pipeline.is_some(), "{name}: {:?}", errors(&diagnostics));
    }
}

#[test]
fn a_list_of_stages_waits_for_all_before() {
    let text = "stages:\n  - a: {run: x}\n    b: {run: x}\n  - c: {run: x}\n  - d: {needs: a, run: x}\n";
    let (pipeline, _) = read("list.yml", text);
    let needs: Vec<(String, Vec<String>)> = pipeline
        .expect("valid")
        .jobs
        .iter()
        .map(|job| (job.id.value.clone(), job.needs.iter().map(|n| n.value.clone()).collect()))
        .collect();
    let wanted = [("a", vec![]), ("b", vec![]), ("c", vec!["a", "b"]), ("d", vec!["a", "b", "c"])];
    assert_eq!(needs.len(), wanted.len());
    for ((id, needs), (wanted_id, wanted_needs)) in needs.iter().zip(wanted) {
        assert_eq!((id.as_str(), needs.iter().map(String::as_str).collect::<Vec<_>>()), (wanted_id, wanted_needs));
    }
}

/// All mistakes at once, each with its place and a way out.
#[test]
fn mistakes_come_all_at_once() {
    let text = "\
name: demo
stages:
  lint: {image: \"node:20\", run: make, tiemout-minutes: 5}
  test:
    needs: lnt
    run: make
    retry: 11
    timeout-minutes: 0
  image: {needs: image, run: x, shell: zsh}
  a: {needs: b, run: x}
  b: {needs: [a, c], run: x}
  c: {run: x, if: \"succes()\"}
  d: {run: \"echo ${{ github.sha }\"}
  e: {run: x, steps: [{run: y, uses: a/b@c}, {uses: nowhere}]}
  f: {}
";
    let (pipeline, diagnostics) = read("demo.yml", text);
    assert!(pipeline.is_none());
    let found: Vec<String> = diagnostics
        .list
        .iter()
        .map(|d| {
            let at = diagnostics.source.position(d.span.start);
            format!("{}:{} {} {} [{}]", at.line, at.column, d.code, d.message, d.help.as_deref().unwrap_or(""))
        })
        .collect();
    insta::assert_snapshot!(found.join("\n"), @r#"
    3:39 E010 "tiemout-minutes" is not a key of a stage [did you mean "timeout-minutes"?]
    5:12 E032 stage "test" needs "lnt", which is not defined [did you mean "lint"?]
    7:12 E041 "retry" must be a whole number from 0 to 10: attempts beyond the first [for example "retry: 2" or "retry: {max: 2, on: lost}"]
    8:22 E040 "timeout-minutes" must be a number of minutes above 0 [leave the key away for the default]
    9:18 E033 the stage "image" needs itself [take it out of "needs"]
    9:40 E043 the shell "zsh" does not say where the script's file goes [write "zsh {0}"; bash, sh, python, pwsh, powershell, cmd go without]
    10:3 E034 these stages wait for each other: a -> b -> a [take one of these needs away]
    12:20 E020 Unrecognized function: 'succes'. Located at position 1 within expression: succes() [did you mean "success"?]
    13:18 E020 The expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found. [close it with "}}"]
    14:15 E014 "steps" cannot stand beside "run": "run" is the short form of one step []
    14:32 E014 "uses" cannot stand beside "run": a step runs a script or uses an action []
    14:53 E044 "nowhere" names no action: expected "owner/repository[/path]@ref" [it is "owner/repository@ref", "./path" or "docker://image"]
    15:3 E012 the stage "f" does nothing [give it "run", "steps", or one of scan, build, backup, deploy, approval, verify, release, notify]
    "#);
}
