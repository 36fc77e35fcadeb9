//! Secrets stand nowhere.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::ci::Ci;

const SECRET: &str = "pa55-w0rd&more";

#[test]
fn no_file_and_no_screen_has_a_secret() {
    let ci = Ci::new(
        "defaults: {run: {shell: sh}}
stages:
  a:
    env: {TOKEN: '${{ secrets.TOKEN }}'}
    outputs: {leak: '${{ steps.s.outputs.leak }}'}
    steps:
      - id: s
        name: with ${{ secrets.TOKEN }}
        run: |
          echo \"it is $TOKEN\"; printf %s \"$TOKEN\" | base64; printf %s \"$TOKEN\" | cut -c1-6; printf %s \"$TOKEN\" | cut -c7-
          echo \"::error::broken by $TOKEN\"
          echo \"leak=$TOKEN\" >> $GITHUB_OUTPUT; echo \"LATER=$TOKEN\" >> $GITHUB_ENV
          echo \"# $TOKEN\" >> $GITHUB_STEP_SUMMARY
          [ ${#TOKEN} = 14 ] && echo > $MARKS/known
      - run: '[ \"$LATER\" = \"$TOKEN\" ] && echo > $MARKS/later; echo ${{ secrets.TOKEN }}; exit 1'
  b: {needs: a, if: always(), run: 'echo [${{ needs.a.outputs.leak }}]'}
",
    )
    .env("SLIPWAY_SECRET_OTHER", "other-secret-text");
    let ran = ci.slipway(&["run", "--verbose", "--secret", &format!("TOKEN={SECRET}")]).exits(1);
    assert!(ci.mark("known").exists() && ci.mark("later").exists());
    let encoded = STANDARD.encode(SECRET);
    for text in [SECRET, encoded.as_str(), "other-secret-text"] {
        assert!(!ran.stdout.contains(text) && !ran.stderr.contains(text), "{}{}", ran.stdout, ran.stderr);
        assert_eq!(ci.holding(text), Vec::<std::path::PathBuf>::new(), "{text}");
    }
    ran.says("it is ***").says("[]");
    let run = ci.newest();
    ci.slipway(&["runs", "show", &run]).does_not_say(SECRET);
    ci.slipway(&["rerun", &run, "--secret", &format!("TOKEN={SECRET}")]).exits(1).does_not_say(SECRET);
    ci.assert_nothing_left();
}

#[test]
fn a_secret_comes_from_environment_or_file_and_is_kept_for_resume() {
    let text = "stages:\n  a: {shell: sh, env: {T: '${{ secrets.T }}'}, run: 'echo x >> $MARKS/a; while [ ! -e $MARKS/go ]; do sleep 0.02; done; echo \"${#T} $T\"'}\n";
    let ci = Ci::new(text);
    // Not in the project, whose files a job gets a copy of.
    std::fs::write(ci.mark("file"), "T=from-a-file-9\n").unwrap();
    let run = ci.start(&["run", "--secret-file", ci.mark("file").to_str().unwrap()]);
    ci.until_marked("a");
    assert_eq!(ci.holding("from-a-file-9"), Vec::<std::path::PathBuf>::new());
    run.signal(rustix::process::Signal::KILL);
    run.wait();
    std::fs::write(ci.mark("go"), "").unwrap();
    ci.slipway(&["resume"]).exits(0).says("13 ***").does_not_say("from-a-file-9");
    assert_eq!(ci.holding("from-a-file-9"), Vec::<std::path::PathBuf>::new());
}
