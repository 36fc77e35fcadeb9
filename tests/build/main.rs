//! The build task over the container engine of this machine. `scripts/docker-up` starts one; then
//! `cargo test --test build -- --include-ignored`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod place;
mod run;

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use place::{BASE, PASSWORD, Place, Registry, USER, docker, images, output, settings, spec};
use slipway::client::docker::Engine;
use slipway::clock::Clock;
use slipway::image::BuildTask;
use slipway::task::contract::{PreviewLine, Task, TaskCtx, TaskError};

#[test]
fn settings_are_read() {
    let all = settings(
        "{context: app, file: ../Dockerfile, target: runtime, build_args: {MODE: prod}, labels: {team: web}, secrets: {npmrc: '${{ secrets.NPMRC }}'}, tags: 'reg.local:5000/app:${{ github.sha }}', push: true, credentials: {username: ci, password: '${{ secrets.R }}'}}",
    )
    .unwrap();
    assert_eq!((all.context.as_str(), all.tags.len(), all.push), ("app", 1, true));
    let least = settings("{tags: [app]}").unwrap();
    assert_eq!((least.context.as_str(), least.file.as_str(), least.push), (".", "Dockerfile", false));
    for (bad, said) in [
        ("{push: true}", "needs the key \"tags\""),
        ("{tags: []}", "\"tags\" is empty"),
        ("{tags: [App]}", "capital letters are not allowed: \"app\""),
        ("{tags: ['app:a b']}", "is no tag"),
        ("{tags: ['app@sha256:00']}", "the digest is known only when it is built"),
        ("{tags: ['-a/b']}", "\"-a\" is no part of one"),
        ("{tags: [a], push: yes}", "\"push\" is true or false"),
        ("{tags: [a], credentials: {username: a}}", "needs the key \"password\""),
        ("{tags: [a], credentials: {password: ''}}", "needs the key \"username\""),
        ("{tags: [a], platforms: [linux/arm64]}", "\"platforms\", which this version reads but cannot do yet"),
        ("{tags: [a], contxt: b}", "did you mean \"context\"?"),
    ] {
        let error = settings(bad).expect_err(bad);
        assert!(error.contains(said), "{bad}: {error}");
    }
}

#[tokio::test]
async fn the_preview_says_what_would_be_built_and_what_would_be_refused() {
    let mut place = Place::new(&[("app/Dockerfile", "FROM a\nRUN --mount=type=cache,target=/c make\n")]);
    let preview =
        place.task.preview(&spec("{context: app, tags: [r.local/a:1], push: true}"), &place.ctx).await.unwrap();
    let texts: Vec<String> = preview
        .lines
        .iter()
        .map(|line| match line {
            PreviewLine::Effect { text } => text.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        texts,
        ["build image \"r.local/a:1\" from \"Dockerfile\" in \"app\" with BuildKit", "push \"r.local/a:1\""]
    );
    let missing = place.task.preview(&spec("{tags: [a]}"), &place.ctx).await.unwrap().refused;
    assert!(missing[0].starts_with("there is no Dockerfile \"Dockerfile\" in the context \".\""), "{missing:?}");
    // A secret that is not there is no mistake of the file, but of the run.
    let text = "{context: app, tags: [r.local/a:1], push: true, credentials: {username: a, password: }}";
    assert_eq!(place.task.preview(&spec(text), &place.ctx).await.unwrap().refused, Vec::<String>::new());
    let error = place.run(text).await.expect_err("there is no password").to_string();
    assert!(error.contains("is the secret that it names set for this stage?"), "{error}");
    place.ctx.identity.untrusted = true;
    let refused =
        place.run("{context: app, tags: [r.local/a:1], push: true}").await.expect_err("it is untrusted").to_string();
    assert!(refused.contains("outsiders can have written this commit"), "{refused}");
}

#[tokio::test]
async fn without_an_engine_the_error_says_where_it_was_looked_for() {
    let place = Place::new(&[("Dockerfile", "FROM scratch\n")]);
    let task = BuildTask::new(Arc::new(Engine::new(Some("unix:///nowhere.sock".to_owned()))));
    let error = task.run(&spec("{tags: [a:1]}"), &place.ctx).await.expect_err("there is none").to_string();
    assert!(
        error.starts_with("failed to build image \"a:1\": no container engine answers at \"unix:///nowhere.sock\""),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_build_has_its_arguments_labels_target_and_only_what_is_not_ignored() {
    images();
    let dockerfile = format!(
        "FROM {BASE} AS base\nARG MODE=dev\nRUN echo \"mode is $MODE\" && echo $MODE > /mode\nFROM base AS runtime\nCOPY . /app\nFROM base\nRUN exit 7\n"
    );
    let place = Place::new(&[
        ("app/Dockerfile", &dockerfile),
        ("app/.dockerignore", "*.md\n!keep.md\nnode_modules\n"),
        ("app/main", "program"),
        ("app/notes.md", ""),
        ("app/keep.md", ""),
        ("app/node_modules/x", ""),
    ]);
    let name = place.name();
    let end = place
        .run(&format!("{{context: app, target: runtime, build-args: {{MODE: prod}}, labels: {{team: web}}, tags: ['{name}:1', '{name}:2']}}"))
        .await
        .unwrap();
    assert_eq!(output(&end, "ref"), format!("{name}:1"));
    assert_eq!((&end.facts["digest"], &end.facts["ref"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    let log = place.ctx.log_text();
    assert!(log.contains("mode is prod") && log.contains("context \"app\": 4 entries, "), "{log}");
    let inside =
        docker(&["run", "--rm", &format!("{name}:2"), "sh", "-c", "cat /mode; cd /app; find . -type f | sort"]);
    assert_eq!(inside, "prod\n./.dockerignore\n./Dockerfile\n./keep.md\n./main\n");
    assert_eq!(docker(&["inspect", "-f", "{{.Config.Labels.team}}", &format!("{name}:1")]).trim(), "web");
    assert_eq!(docker(&["inspect", "-f", "{{.Id}}", &format!("{name}:1")]).trim(), output(&end, "digest"));
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn what_fails_in_a_build_is_said_with_its_words() {
    images();
    let fails = format!("FROM {BASE}\nRUN echo the last words && exit 7\n");
    let with_mount = format!("FROM {BASE}\nRUN --mount=type=tmpfs,target=/t echo the last words && exit 7\n");
    for (file, text, said) in [
        ("Dockerfile", fails.as_str(), "returned a non-zero code: 7"),
        ("Dockerfile", with_mount.as_str(), "exit code: 7"),
        ("Dockerfile", "FROM slipway-test/busybox\nCOPY none /\n", "none"),
        ("Dockerfile", "FORM a\n", "unknown instruction"),
        ("Other", "FROM a\n", "there is no Dockerfile \"Dockerfile\" in the context \".\""),
    ] {
        let place = Place::new(&[(file, text)]);
        let error = place.run(&format!("{{tags: ['{}:1']}}", place.name())).await.expect_err(said).to_string();
        assert!(error.starts_with(&format!("failed to build image \"{}:1\"", place.name())), "{error}");
        assert!(error.to_lowercase().contains(said) || error.contains(said), "{text}: {error}");
        if text.contains("last words") {
            assert!(
                place.ctx.log_text().lines().any(|line| line.ends_with("the last words")),
                "{}",
                place.ctx.log_text()
            );
        }
    }
    let place = Place::new(&[("Dockerfile", &format!("FROM {BASE} AS one\n"))]);
    let error = place.run(&format!("{{target: two, tags: ['{}:1']}}", place.name())).await.expect_err("no such target");
    assert!(error.to_string().contains("two"), "{error}");
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_secret_is_there_in_the_build_and_in_no_layer_nor_history() {
    images();
    let secret = "s3cr3t-of-the-build-4711";
    let dockerfile = format!(
        "FROM {BASE}\nRUN --mount=type=secret,id=npmrc : {}; test -s /run/secrets/npmrc && wc -c < /run/secrets/npmrc > /length && cat /run/secrets/npmrc\n",
        // A step that was built before is not run, and says nothing.
        slipway::id::RunId::new(slipway::clock::SystemClock.now())
    );
    let mut place = Place::new(&[("Dockerfile", &dockerfile)]);
    place.ctx.secrets = vec![("NPMRC".to_owned(), secret.to_owned())];
    let name = place.name().to_owned();
    place.run(&format!("{{secrets: {{npmrc: {secret}}}, tags: ['{name}:1']}}")).await.unwrap();
    let log = place.ctx.log_text();
    assert!(log.contains("builder: BuildKit, as \"secrets\" are given"), "{log}");
    assert!(log.contains("***") && !log.contains(secret), "the step prints it, masked: {log}");
    let image = format!("{name}:1");
    assert_eq!(docker(&["run", "--rm", &image, "cat", "/length"]).trim(), secret.len().to_string());
    assert!(!docker(&["history", "--no-trunc", &image]).contains(secret));
    let saved = Command::new("docker").args(["save", &image]).output().unwrap().stdout;
    assert!(saved.len() > 1 << 20, "the image is saved");
    assert!(!saved.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "it is in a layer");
    assert!(
        !serde_json::to_string(
            &place
                .ctx
                .journal
                .lock()
                .unwrap()
                .effects
                .iter()
                .map(|(k, r)| (k, &r.intent, &r.observation))
                .collect::<Vec<_>>()
        )
        .unwrap()
        .contains(secret)
    );

    let other = Place::new(&[(
        "Dockerfile",
        &dockerfile.replace("test -s", "cat").replace(",id=npmrc", ",id=npmrc,required=true"),
    )]);
    let error = other.run(&format!("{{tags: ['{}:1']}}", other.name())).await.expect_err("nobody gives the secret");
    assert!(error.to_string().contains("npmrc"), "{error}");
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_build_is_pushed_by_digest_and_a_refusal_says_what_to_do() {
    images();
    let Some(registry) = Registry::start() else { return };
    let mut place = Place::new(&[("Dockerfile", &format!("FROM {BASE}\nRUN echo pushed > /file\n"))]);
    let name = format!("{}/{}", registry.host, place.name());
    let push = |more: &str| format!("{{tags: ['{name}:1', '{name}:latest'], push: true{more}}}");
    let error = place.run(&push("")).await.expect_err("nobody is logged in").to_string();
    assert!(error.starts_with(&format!("failed to push \"{name}:1\": ")), "{error}");
    assert!(error.contains(&format!("log in with `docker login {}`", registry.host)), "{error}");

    let wrong = Place::new(&[("Dockerfile", &format!("FROM {BASE}\n"))]);
    let error =
        wrong.run(&push(", credentials: {username: ci, password: wrong}")).await.expect_err("the password is wrong");
    assert!(error.to_string().contains("refuses these credentials"), "{error}");
    drop(wrong);

    place.ctx = place.ctx.again();
    let end = place.run(&push(&format!(", credentials: {{username: {USER}, password: {PASSWORD}}}"))).await.unwrap();
    let digest = output(&end, "digest").to_owned();
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert_eq!(output(&end, "ref"), format!("{name}@{digest}"));
    assert_eq!(end.facts["tags"], serde_json::json!([format!("{name}:1"), format!("{name}:latest")]));
    for effect in place.ctx.journal.lock().unwrap().effects.iter() {
        assert!(!format!("{effect:?}").contains(PASSWORD), "{effect:?}");
    }
    let manifest = manifest(&registry, place.name(), "latest");
    assert_eq!(manifest, digest, "both names have the same manifest");
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn both_builders_pull_what_an_image_stands_on_with_the_same_credentials() {
    images();
    let Some(registry) = Registry::start() else { return };
    let credentials = format!("credentials: {{username: {USER}, password: {PASSWORD}}}");
    let base = Place::new(&[("Dockerfile", &format!("FROM {BASE}\n"))]);
    let of = format!("{}/{}:1", registry.host, base.name());
    base.run(&format!("{{tags: ['{of}'], push: true, {credentials}}}")).await.unwrap();
    for (instruction, builder) in [("RUN true", "Step 1/2"), ("RUN --mount=type=tmpfs,target=/t true", "#1 ")] {
        docker(&["rmi", "-f", &of]);
        let place = Place::new(&[("Dockerfile", &format!("FROM {of}\n{instruction}\n"))]);
        let name = format!("{}/{}:1", registry.host, place.name());
        let error = place.run(&format!("{{tags: ['{name}']}}")).await.expect_err("nobody is logged in").to_string();
        assert!(error.contains("log in with `docker login`"), "{error}");
        let place = Place::new(&[("Dockerfile", &format!("FROM {of}\n{instruction}\n"))]);
        place.run(&format!("{{tags: ['{name}'], {credentials}}}")).await.unwrap();
        assert!(place.ctx.log_text().contains(builder), "{}", place.ctx.log_text());
        docker(&["rmi", "-f", &name]);
    }
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn an_engine_behind_tcp_builds_with_secrets_too() {
    images();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("tcp://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut far = tokio::net::UnixStream::connect("/var/run/docker.sock").await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            });
        }
    });
    let dockerfile = format!("FROM {BASE}\nRUN --mount=type=secret,id=a test \"$(cat /run/secrets/a)\" = four\n");
    let place = Place::new(&[("Dockerfile", &dockerfile)]);
    let task = BuildTask::new(Arc::new(Engine::new(Some(host))));
    task.run(&spec(&format!("{{secrets: {{a: four}}, tags: ['{}:1']}}", place.name())), &place.ctx).await.unwrap();
    let place = Place::new(&[("Dockerfile", &dockerfile)]);
    let wrong = format!("{{secrets: {{a: five}}, build-args: {{X: y}}, tags: ['{}:1']}}", place.name());
    // The same step with another secret is the same to BuildKit's cache, so its text must differ.
    std::fs::write(place.workspace().join("Dockerfile"), dockerfile.replace("four", "four # 2")).unwrap();
    task.run(&spec(&wrong), &place.ctx).await.expect_err("the secret is another");
}

/// The digest under which the registry has `name:tag`.
fn manifest(registry: &Registry, name: &str, tag: &str) -> String {
    let output = Command::new("curl")
        .args(["-sS", "-I", "-u", &format!("{USER}:{PASSWORD}")])
        .args(["-H", "Accept: application/vnd.docker.distribution.manifest.v2+json"])
        .arg(format!("http://{}/v2/{name}/manifests/{tag}", registry.host))
        .output()
        .unwrap();
    let head = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = head.lines().find(|line| line.to_lowercase().starts_with("docker-content-digest:"));
    line.unwrap_or_else(|| panic!("{head}")).split_once(':').unwrap().1.trim().to_owned()
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_crash_at_any_record_ends_in_the_same_image() {
    images();
    let Some(registry) = Registry::start() else { return };
    let place = Place::new(&[("Dockerfile", &format!("FROM {BASE}\nRUN echo once > /file\n"))]);
    let name = format!("{}/{}", registry.host, place.name());
    let text = format!(
        "{{tags: ['{name}:1', '{name}:2'], push: true, credentials: {{username: {USER}, password: {PASSWORD}}}}}"
    );
    let expected = output(&place.run(&text).await.unwrap(), "ref").to_owned();
    let records = place.ctx.journal.lock().unwrap().records;
    assert_eq!(records, 6, "intent and observation of the build and of two pushes");
    for at in 1..=records {
        for after in [false, true] {
            let mut ctx = slipway::task::testing::TestCtx::new(place.workspace(), place.folder.path().join("s"));
            ctx.crash_at = Some((at, after));
            assert!(matches!(place.task.run(&spec(&text), &ctx).await, Err(TaskError::Gone(_))), "{at} {after}");
            let again = ctx.again();
            let end = place.task.run(&spec(&text), &again).await.unwrap();
            assert_eq!(output(&end, "ref"), expected, "{at} {after}");
            let effects = again.recorded();
            assert_eq!(
                effects,
                ["build".to_owned(), format!("push {name}:1"), format!("push {name}:2")],
                "{at} {after}"
            );
            // A push of which only the intent is on record is found in the registry, and not done again.
            let found = again.log_text().contains("was pushed before");
            let between = matches!((at, after), (3 | 5, true) | (4 | 6, false));
            assert_eq!(found, between, "{at} {after}: {}", again.log_text());
        }
    }
    // An image that somebody removed meanwhile is built again.
    let ctx = place.ctx.again();
    for tag in ["1", "2"] {
        docker(&["rmi", "-f", &format!("{name}:{tag}")]);
    }
    let end = place.task.run(&spec(&text), &ctx).await.unwrap();
    assert!(output(&end, "ref").starts_with(&format!("{name}@sha256:")));
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_cancelled_build_ends_at_once() {
    images();
    let place = Place::new(&[("Dockerfile", &format!("FROM {BASE}\nRUN echo begun && sleep 60\n"))]);
    let text = format!("{{tags: ['{}:1']}}", place.name());
    let (ctx, spec) = (&place.ctx, spec(&text));
    let run = place.task.run(&spec, ctx);
    let cancel = async {
        while !ctx.log_text().contains("begun") {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ctx.cancel();
    };
    let both = async { tokio::join!(run, cancel) };
    let (end, ()) = tokio::time::timeout(Duration::from_secs(30), both).await.expect("it ends");
    assert!(matches!(end, Err(TaskError::Cancelled)), "{end:?}");
}

/// The environment belongs to the process, so this test runs itself in another one.
#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn the_users_docker_configuration_pushes() {
    const REGISTRY: &str = "SLIPWAY_TEST_REGISTRY";
    if let Ok(host) = std::env::var(REGISTRY) {
        let place = Place::new(&[("Dockerfile", &format!("FROM {BASE}\n"))]);
        let end = place.run(&format!("{{tags: ['{host}/{}:1'], push: true}}", place.name())).await.unwrap();
        assert!(output(&end, "digest").starts_with("sha256:"));
        return;
    }
    images();
    let Some(registry) = Registry::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let auths = serde_json::json!({"auths": {registry.host.clone(): {"username": USER, "password": PASSWORD}}});
    std::fs::write(folder.path().join("config.json"), auths.to_string()).unwrap();
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "the_users_docker_configuration_pushes", "--include-ignored"])
        .env(REGISTRY, &registry.host)
        .env("DOCKER_CONFIG", folder.path())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}
