//! Jobs in real containers. `scripts/docker-up` starts an engine; then `cargo test --test docker -- --ignored`.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "docker/place.rs"]
mod place;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use place::{BUSYBOX, Place, Said, all, command, in_workspace, run, service};
use slipway::client::docker::Engine;
use slipway::event::Exit;
use slipway::runner::contract::{Runner, RunnerError, Signal, StepEvent, StepExit};
use slipway::runner::docker::{DockerOptions, DockerRunner, DockerServices};
use slipway::runner::host::ServiceHost;

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn steps_run_with_their_files_environment_and_exit_codes() {
    for image in [BUSYBOX, "slipway-test/bash"] {
        let place = Place::new();
        let mut spec = place.spec("build", image);
        let container = spec.container.as_mut().unwrap();
        container.env = vec![("OF_CONTAINER".to_owned(), "c".to_owned())];
        container.options = "--env OF_OPTIONS='o o' --hostname harbour".to_owned();
        let sandbox = place.open(&spec).await.unwrap();
        let script = "echo $OF_CONTAINER $OF_OPTIONS $OF_STEP; cat given; cat /proc/sys/kernel/hostname; echo x=1 > $OUT; echo made > new; exit 3";
        let mut step = command(&spec, 0, &["sh", "-c", script]);
        let folder = sandbox.step_folder(&step.key);
        step.env = vec![("OF_STEP".to_owned(), "s".to_owned()), ("OUT".to_owned(), format!("{folder}/output"))];
        step.files = vec![("output".to_owned(), Vec::new())];
        step.collect = vec!["output".to_owned()];
        std::fs::write(in_workspace(&spec, "given"), "given\n").unwrap();
        let (text, exit) = run(&*sandbox, step).await;
        assert_eq!(text, "c o o s\ngiven\nharbour\n", "{image}");
        let files = vec![("output".to_owned(), b"x=1\n".to_vec())];
        assert_eq!(exit, StepExit { exit: Exit::Code(3), files }, "{image}");
        assert_eq!(std::fs::read_to_string(in_workspace(&spec, "new")).unwrap(), "made\n");
        let home = sandbox.paths().home_on_engine.clone().unwrap();
        run(&*sandbox, command(&spec, 1, &["sh", "-c", "echo kept > /github/home/file; echo t > /github/temp/t"]))
            .await;
        assert_eq!(std::fs::read_to_string(home.join("file")).unwrap(), "kept\n");
        place.close(&[&spec]).await;
    }
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn an_image_without_a_shell_runs_its_program_and_says_what_is_missing() {
    let place = Place::new();
    let spec = place.spec("build", "slipway-test/scratch");
    let sandbox = place.open(&spec).await.unwrap();
    let Err(RunnerError::Start { program, reason }) = sandbox.start(command(&spec, 0, &["sh", "-c", "true"])).await
    else {
        panic!("there is no shell in it");
    };
    assert!(program == "sh" && reason.contains("no such program"), "{program}: {reason}");
    let (text, exit) = run(&*sandbox, command(&spec, 1, &["/busybox", "echo", "hello"])).await;
    assert_eq!((text.as_str(), exit.exit), ("hello\n", Exit::Code(0)));
    place.close(&[&spec]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn users_other_than_root_can_write_where_steps_write() {
    let place = Place::new();
    let by_image = place.spec("image", "slipway-test/user");
    let mut by_option = place.spec("option", BUSYBOX);
    by_option.container.as_mut().unwrap().options = "-u 1000:1000".to_owned();
    for spec in [&by_image, &by_option] {
        std::fs::write(in_workspace(spec, "old"), "").unwrap();
        let sandbox = place.open(spec).await.unwrap();
        // What the engine brings later, such as a checkout.
        std::fs::create_dir(in_workspace(spec, "late")).unwrap();
        std::fs::write(in_workspace(spec, "late/file"), "").unwrap();
        std::fs::set_permissions(in_workspace(spec, "late"), PermissionsExt::from_mode(0o755)).unwrap();
        sandbox.sync_in().await.unwrap();
        let script = "id -u; for f in old new late/file late/new /github/home/a /github/temp/a /opt/hostedtoolcache/a $OUT; do echo x >> $f || exit 1; done";
        let mut step = command(spec, 0, &["sh", "-c", script]);
        step.env = vec![("OUT".to_owned(), format!("{}/output", sandbox.step_folder(&step.key)))];
        step.files = vec![("output".to_owned(), Vec::new())];
        step.collect = vec!["output".to_owned()];
        let (text, exit) = run(&*sandbox, step).await;
        assert_eq!((text.as_str(), &exit.exit), ("1000\n", &Exit::Code(0)));
        assert_eq!(exit.files, [("output".to_owned(), b"x\n".to_vec())]);
    }
    place.close(&[&by_image, &by_option]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_job_has_few_rights() {
    let place = Place::new();
    let spec = place.spec("build", BUSYBOX);
    let sandbox = place.open(&spec).await.unwrap();
    let script = "mount -t tmpfs none /tmp && echo mounted; mknod /tmp/d b 8 0 && echo made; grep NoNewPrivs /proc/self/status; ls /github/box/token; env | grep -c SHIM_; chown 1000 /tmp && echo chown";
    let (text, _) = run(&*sandbox, command(&spec, 0, &["sh", "-c", script])).await;
    assert!(!text.contains("mounted") && !text.contains("made"), "{text}");
    assert!(text.contains("NoNewPrivs:\t1") && text.contains("chown"), "{text}");
    assert!(text.contains("token: No such file"), "{text}");
    place.close(&[&spec]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn services_are_healthy_and_reached_by_name() {
    let place = Place::new();
    let mut spec = place.spec("build", BUSYBOX);
    let mut plain = service("plain", BUSYBOX);
    plain.container.command = ["httpd", "-f", "-p", "80", "-h", "/etc"].map(str::to_owned).into();
    spec.services = vec![service("web", "slipway-test/health"), plain];
    let sandbox = place.open(&spec).await.unwrap();
    let facts = sandbox.facts();
    assert_eq!(facts["container"]["network"], spec.name.as_str());
    assert!(facts["services"]["web"]["id"].as_str().is_some_and(|id| id.len() == 64), "{facts}");
    let script = "wget -qO- http://web:8000/passwd | head -n1; wget -qO- http://plain/group | head -n1";
    let (text, _) = run(&*sandbox, command(&spec, 0, &["sh", "-c", script])).await;
    assert_eq!(text, "root:x:0:0:root:/root:/bin/sh\nroot:x:0:\n");
    // Two engines' adoption gives the same facts.
    let again = place.runner().adopt(&spec).await.unwrap().expect("it runs");
    assert_eq!(again.facts(), facts);
    place.close(&[&spec]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_service_that_is_not_healthy_fails_the_job_with_its_last_lines() {
    let place = Place::new();
    let mut ends = place.spec("ends", BUSYBOX);
    let mut service_of = service("db", BUSYBOX);
    service_of.container.command = ["sh", "-c", "echo out of rope; exit 7"].map(str::to_owned).into();
    ends.services = vec![service_of];
    let mut sick = place.spec("sick", BUSYBOX);
    let mut service_of = service("db", BUSYBOX);
    service_of.container.command = ["sh", "-c", "echo seasick; sleep 1000"].map(str::to_owned).into();
    service_of.container.options = "--health-cmd false --health-interval 100ms --health-retries 1".to_owned();
    sick.services = vec![service_of];
    for (spec, words) in [(&ends, ["out of rope", "7"]), (&sick, ["seasick", "check"])] {
        let Err(RunnerError::Service { service, reason }) = place.open(spec).await else { panic!("it is not healthy") };
        assert_eq!(service, "db");
        assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
    }
    place.close(&[&ends, &sick]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_health_check_that_is_turned_off_is_not_waited_for() {
    let place = Place::new();
    let mut spec = place.spec("build", BUSYBOX);
    let mut quiet = service("quiet", "slipway-test/health");
    quiet.container.options = "--no-healthcheck".to_owned();
    let mut half = service("half", BUSYBOX);
    half.container.command = ["sleep", "1000"].map(str::to_owned).into();
    half.container.options = "--health-interval 1s".to_owned();
    spec.services = vec![quiet, half];
    place.open(&spec).await.unwrap();
    place.close(&[&spec]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn services_of_host_jobs_listen_on_the_loopback_address() {
    let place = Place::new();
    let mut spec = place.spec("build", BUSYBOX);
    spec.container = None;
    let mut web = service("web", "slipway-test/health");
    web.container.ports = vec!["8000".to_owned()];
    spec.services = vec![web];
    let services = DockerServices::new(place.engine());
    let facts = services.start_services(&spec, Arc::new(Said::default())).await.unwrap();
    let port: u16 = facts["services"]["web"]["ports"]["8000"].as_str().unwrap().parse().unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    std::io::Write::write_all(&mut stream, b"GET /group HTTP/1.0\r\n\r\n").unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    assert!(answer.contains("root:x:0:"), "{answer}");
    let found = DockerServices::new(place.engine()).find_services(&spec).await.unwrap();
    assert_eq!(found, Some(facts));
    services.stop_services(&spec).await.unwrap();
    services.stop_services(&spec).await.unwrap();
    assert_eq!(services.find_services(&spec).await.unwrap(), None);
    assert_eq!(place.left(), Vec::<String>::new());
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn two_runs_have_networks_of_their_own_at_once() {
    let (one, two) = (Place::new(), Place::new());
    let spec_of = |place: &Place| {
        let mut spec = place.spec("build", BUSYBOX);
        spec.own_network = true;
        spec
    };
    let (first, second) = (spec_of(&one), spec_of(&two));
    let (a, b) = tokio::join!(one.open(&first), two.open(&second));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_ne!(a.facts()["container"]["network"], b.facts()["container"]["network"]);
    let (a, b) = tokio::join!(
        run(&*a, command(&first, 0, &["sh", "-c", "echo first"])),
        run(&*b, command(&second, 0, &["sh", "-c", "echo second"]))
    );
    assert_eq!((a.0.as_str(), b.0.as_str()), ("first\n", "second\n"));
    let (of_one, of_two) = ([&first], [&second]);
    tokio::join!(one.close(&of_one), two.close(&of_two));
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn another_engine_adopts_a_job_and_no_byte_is_lost() {
    let place = Place::new();
    let spec = place.spec("build", BUSYBOX);
    assert!(place.runner().adopt(&spec).await.unwrap().is_none(), "nothing runs yet");
    let script = "echo one; while [ ! -e gate ]; do sleep 0.02; done; seq 100000; exit 5";
    {
        let sandbox = place.open(&spec).await.unwrap();
        let mut events = sandbox.start(command(&spec, 0, &["sh", "-c", script])).await.unwrap();
        assert_eq!(events.recv().await, Some(StepEvent::Output { offset: 0, bytes: b"one\n".to_vec() }));
    }
    let sandbox = place.runner().adopt(&spec).await.unwrap().expect("the container runs");
    assert!(sandbox.attach(&spec.attempt.step(1), 0, &[]).await.unwrap().is_none(), "it was never started");
    let events = sandbox.attach(&spec.attempt.step(0), 4, &[]).await.unwrap().expect("it was started");
    std::fs::write(in_workspace(&spec, "gate"), "").unwrap();
    let (text, exit) = all(events, 4).await;
    let numbers: String = (1..=100_000).map(|n| format!("{n}\n")).collect();
    assert!(text == numbers, "{} bytes of {}", text.len(), numbers.len());
    assert_eq!(exit.exit, Exit::Code(5));
    // Opening what is open is adopting it.
    let opened = place.open(&spec).await.unwrap();
    let (text, exit) = run(&*opened, command(&spec, 0, &["sh", "-c", "echo again"])).await;
    assert!(text.starts_with("one\n1\n") && exit.exit == Exit::Code(5), "the step runs once");
    place.close(&[&spec]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_container_that_is_killed_loses_its_step_and_is_not_adopted() {
    let place = Place::new();
    let spec = place.spec("build", BUSYBOX);
    let sandbox = place.open(&spec).await.unwrap();
    let mut events = sandbox.start(command(&spec, 0, &["sh", "-c", "echo up; sleep 1000"])).await.unwrap();
    assert!(matches!(events.recv().await, Some(StepEvent::Output { .. })));
    assert!(Command::new("docker").args(["kill", &spec.name]).output().unwrap().status.success());
    assert!(matches!(events.recv().await, Some(StepEvent::Lost { .. })));
    assert!(place.runner().adopt(&spec).await.unwrap().is_none());
    place.close(&[&spec]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_signal_reaches_the_step_in_the_container() {
    let place = Place::new();
    let spec = place.spec("build", BUSYBOX);
    let sandbox = place.open(&spec).await.unwrap();
    let script = "trap 'exit 40' INT; echo up; while :; do sleep 0.02; done";
    let mut events = sandbox.start(command(&spec, 0, &["sh", "-c", script])).await.unwrap();
    assert!(matches!(events.recv().await, Some(StepEvent::Output { .. })));
    sandbox.signal(&spec.attempt.step(0), Signal::Interrupt).await.unwrap();
    assert_eq!(events.recv().await, Some(StepEvent::Exited(StepExit { exit: Exit::Code(40), files: Vec::new() })));
    place.close(&[&spec]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn the_sweep_takes_only_what_belongs_to_runs_that_are_over() {
    let place = Place::new();
    let mut spec = place.spec("build", BUSYBOX);
    spec.services = vec![service("web", "slipway-test/health")];
    place.open(&spec).await.unwrap();
    let runner = place.runner();
    assert_eq!(runner.sweep(&place.label, |run| *run == place.run).await.unwrap(), 0);
    assert_eq!(runner.sweep("another-label", |_| false).await.unwrap(), 0);
    assert_eq!(place.left().len(), 3);
    assert_eq!(runner.sweep(&place.label, |_| false).await.unwrap(), 3);
    place.close(&[&spec]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn what_is_not_allowed_or_not_there_is_told_before_anything_is_made() {
    let place = Place::new();
    let mut spec = place.spec("build", BUSYBOX);
    spec.services = vec![service("web", "slipway-test/health")];
    for (options, word) in [("--privileged", "--allow-privileged"), ("--frobnicate", "--frobnicate")] {
        for of_service in [false, true] {
            let mut spec = spec.clone();
            match of_service {
                true => spec.services[0].container.options = options.to_owned(),
                false => spec.container.as_mut().unwrap().options = options.to_owned(),
            }
            let Err(RunnerError::Refused(text)) = place.open(&spec).await else { panic!("{options} was taken") };
            assert!(text.contains(word), "{text}");
            assert_eq!(place.left(), Vec::<String>::new(), "refused before anything is made");
        }
    }
    let missing = place.spec("missing", "localhost:9/no/such:image");
    let Err(RunnerError::Image { image, reason }) = place.open(&missing).await else {
        panic!("there is no such image")
    };
    assert!(image.contains("no/such") && reason.contains("docker login"), "{reason}");
    place.close(&[&spec, &missing]).await;
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn an_engine_that_is_not_there_is_told_with_a_way_out() {
    let place = Place::new();
    let spec = place.spec("build", BUSYBOX);
    for (host, word) in
        [("unix:///no/such.sock", "/no/such.sock"), ("ssh://harbour", "ssh -L"), ("tcp://127.0.0.1:9", "DOCKER_HOST")]
    {
        let options = DockerOptions { shim_folder: place.folder.path().join("shim") };
        let runner = DockerRunner::new(Arc::new(Engine::new(Some(host.to_owned()))), options);
        let Err(error @ RunnerError::Unavailable { .. }) = runner.open(&spec, Arc::new(Said::default())).await else {
            panic!("{host}");
        };
        assert!(error.to_string().contains(word), "{error}");
    }
}

#[tokio::test]
#[ignore = "needs docker (scripts/docker-up)"]
async fn a_folder_with_a_long_path_is_no_obstacle() {
    let place = Place::new();
    let mut spec = place.spec("build", BUSYBOX);
    spec.folder = place.folder.path().join("a-long-name-of-a-folder/".repeat(6)).join("attempt");
    let sandbox = place.open(&spec).await.unwrap();
    let (text, _) = run(&*sandbox, command(&spec, 0, &["echo", "reached"])).await;
    assert_eq!(text, "reached\n");
    place.close(&[&spec]).await;
}
