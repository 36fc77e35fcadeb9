//! Backups by the real binary: of a real PostgreSQL, to a folder and to S3. `cargo test --test backup -- --ignored`
#![expect(clippy::unwrap_used, reason = "what a test cannot do without fails it")]

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// What a script of the ground prints, or why it cannot.
fn ground(script: &str, variable: &str) -> Option<String> {
    if let Some(said) = std::env::var(variable).ok().filter(|value| !value.is_empty()) {
        return Some(said);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(script);
    let output = Command::new(path).stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        return Some(text(&output.stdout));
    }
    println!("skipped: {}", text(&output.stderr));
    None
}

struct Case {
    temp: tempfile::TempDir,
    /// The server's URI, up to the database's name.
    server: String,
    database: String,
    s3: String,
}

impl Case {
    fn new() -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let uri = ground("testground-postgres", "SLIPWAY_TEST_POSTGRES")?;
        let s3 = ground("testground-moto", "SLIPWAY_TEST_S3")?;
        let server = uri[..=uri.rfind('/').unwrap()].to_owned();
        let database = format!("shop_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let temp = tempfile::tempdir().unwrap();
        fs::create_dir_all(temp.path().join("project")).unwrap();
        let case = Self { temp, server, database, s3 };
        case.sql("postgres", &format!("create database {}", case.database));
        case.sql(
            &case.database,
            "create table moods (name text primary key); insert into moods select generate_series(1, 5000)::text",
        );
        case.sql(&case.database, "create table people (id int); insert into people values (1), (2)");
        Some(case)
    }

    fn uri(&self) -> String {
        format!("{}{}", self.server, self.database)
    }

    fn sql(&self, database: &str, text: &str) -> String {
        let uri = format!("{}{database}", self.server);
        let output = Command::new("psql").args(["-XqAt", "-v", "ON_ERROR_STOP=1", "-c", text, &uri]).output().unwrap();
        assert!(output.status.success(), "{text}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn folder(&self) -> PathBuf {
        self.temp.path().join("backups")
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn slipway(&self, args: &[&str], env: &[(&str, &str)]) -> Output {
        self.command(args).envs(env.iter().copied()).output().unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
        command.args(args).current_dir(self.temp.path().join("project")).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("HOME", self.temp.path());
        command.env("SLIPWAY_HOME", self.temp.path().join("state"));
        command.env("SLIPWAY_SECRET_DATABASE", self.uri()).env("SLIPWAY_SECRET_BACKUP_KEY", KEY);
        for (name, value) in [("AWS_ENDPOINT_URL", self.s3.as_str()), ("AWS_ACCESS_KEY_ID", "test")] {
            command.env(name, value);
        }
        command.env("AWS_SECRET_ACCESS_KEY", "test").env("AWS_REGION", "us-east-1");
        command
    }

    /// Runs a pipeline with one backup of these settings, and a stage that needs it.
    fn backup(&self, settings: &str, env: &[(&str, &str)]) -> Output {
        self.write(settings, &self.s3);
        self.slipway(&["run", "slipway.yml"], env)
    }

    fn write(&self, settings: &str, s3: &str) {
        let text = format!(
            "name: backups
on: workflow_dispatch
env: {{AWS_ENDPOINT_URL: '{}', AWS_ACCESS_KEY_ID: test, AWS_SECRET_ACCESS_KEY: test, AWS_REGION: us-east-1}}
stages:
  backup:
    backup: {{postgres: {{uri: '${{{{ secrets.DATABASE }}}}'}}, {settings}}}
  deploy:
    needs: backup
    run: echo \"after ${{{{ needs.backup.outputs.url }}}}\"
",
            s3
        );
        fs::write(self.temp.path().join("project/slipway.yml"), text).unwrap();
    }
}

impl Drop for Case {
    fn drop(&mut self) {
        let uri = format!("{}postgres", self.server);
        let text = format!("drop database if exists {} with (force)", self.database);
        let _ = Command::new("psql").args(["-XqAt", "-c", &text, &uri]).output();
    }
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn exits(output: Output, code: i32) -> String {
    assert_eq!(output.status.code(), Some(code), "{}", said(&output));
    said(&output)
}

#[test]
#[ignore = "needs PostgreSQL and S3 (scripts/testground-postgres, -moto)"]
fn t_bk_01_a_backup_is_made_verified_by_a_restore_and_restored_by_hand() {
    let Some(case) = Case::new() else { return };
    let s3 = format!("s3://backups/{}/{{date}}-{{time}}-{{run}}.gz.enc", case.database);
    let local = case.folder().join("{date}-{time}.gz.enc").display().to_string();
    let settings = format!("encrypt: '${{{{ secrets.BACKUP_KEY }}}}', verify: restore, to: ['{local}', '{s3}']");
    let text = exits(case.backup(&settings, &[]), 0);
    assert!(text.contains("restored: 2 tables, 5002 rows"), "{text}");
    assert!(text.contains("after file:///"), "what needs it runs behind it: {text}");
    assert!(!text.contains("slipway:slipway@"), "the password is shown: {text}");
    let left = case.sql("postgres", "select count(*) from pg_database where datname like 'slipway_verify_%'");
    assert_eq!(left, "0", "the scratch database is dropped");

    let names = case.names();
    assert_eq!(names.len(), 2, "{names:?}");
    let object = fs::read(case.folder().join(&names[0])).unwrap();
    assert!(!object.windows(5).any(|part| part == b"moods" || part == b"PGDMP"), "the dump is not readable");

    let url = format!("s3://backups/{}/", case.database);
    let list = exits(case.slipway(&["backup", "list", &url], &[]), 0);
    assert!(list.contains(&case.database) && list.contains("good"), "{list}");
    let name =
        list.split_whitespace().find(|word| word.starts_with("s3://") && word.ends_with(".enc")).unwrap().to_owned();
    exits(case.slipway(&["backup", "verify", &name], &[("SLIPWAY_BACKUP_KEY", KEY)]), 0);

    let other = format!("{}_again", case.database);
    case.sql("postgres", &format!("create database {other}"));
    let to = format!("{}{other}", case.server);
    exits(case.slipway(&["backup", "restore", &name, "--to", &to], &[("SLIPWAY_BACKUP_KEY", KEY)]), 0);
    let rows = case.sql(&other, "select (select count(*) from moods) || ' ' || (select sum(id) from people)");
    assert_eq!(rows, "5000 3");
    let refused = exits(case.slipway(&["backup", "restore", &name, "--to", &to], &[("SLIPWAY_BACKUP_KEY", KEY)]), 1);
    assert!(refused.contains("is not empty"), "{refused}");
    case.sql("postgres", &format!("drop database {other}"));
}

#[test]
#[ignore = "needs PostgreSQL and S3 (scripts/testground-postgres, -moto)"]
fn t_bk_02_a_failed_backup_leaves_nothing_and_blocks_what_needs_it() {
    let Some(case) = Case::new() else { return };
    // Of two places the second cannot be: the first is whole, the stage failed, and what needs it does not run.
    let local = case.folder().join("{run}.zst").display().to_string();
    let settings = format!("compress: zstd, to: ['{local}', 's3://no-such-bucket/{{run}}.zst']");
    let text = exits(case.backup(&settings, &[]), 1);
    assert!(text.contains("no-such-bucket") && text.contains("[deploy] - skipped"), "{text}");
    // A dump that fails stores nothing.
    let before = case.names();
    let gone = format!("{}no_such_database", case.server);
    let text = exits(
        case.backup(
            &format!("to: '{}'", case.folder().join("{run}.gz").display()),
            &[("SLIPWAY_SECRET_DATABASE", &gone)],
        ),
        1,
    );
    assert!(text.contains("no_such_database"), "{text}");
    assert_eq!(case.names(), before);
    // Never overwritten.
    let fixed = format!("to: '{}'", case.folder().join("fixed.gz").display());
    exits(case.backup(&fixed, &[]), 0);
    let text = exits(case.backup(&fixed, &[]), 1);
    assert!(text.contains("never overwritten"), "{text}");
}

/// Passes connections on to the S3 at `to`. While `stalls` says so, a part of an upload never arrives: then `stalls` becomes
/// false, and that connection stands still.
fn stalling(to: &str, stalls: &Arc<AtomicBool>) -> String {
    let (to, stalls) = (to.trim_start_matches("http://").trim_end_matches('/').to_owned(), Arc::clone(stalls));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (to, stalls) = (to.clone(), Arc::clone(&stalls));
            std::thread::spawn(move || {
                let server = TcpStream::connect(to).unwrap();
                let (mut from, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || std::io::copy(&mut from, &mut back));
                let (mut client, mut server, mut bytes) = (client, server, [0; 65536]);
                while let Ok(length @ 1..) = client.read(&mut bytes) {
                    let part = bytes[..length].windows(11).any(|text| text == b"partNumber=");
                    if part && stalls.swap(false, Ordering::SeqCst) {
                        std::thread::sleep(Duration::from_secs(3600));
                    }
                    if server.write_all(&bytes[..length]).is_err() {
                        break;
                    }
                }
            });
        }
    });
    url
}

#[test]
#[ignore = "needs PostgreSQL and S3 (scripts/testground-postgres, -moto)"]
fn t_bk_02_a_kill_in_the_middle_of_an_upload_leaves_nothing_and_a_resume_ends_it() {
    let Some(case) = Case::new() else { return };
    let stalls = Arc::new(AtomicBool::new(true));
    let folder = format!("s3://backups/{}/", case.database);
    case.write(&format!("to: '{folder}{{run}}.gz', verify: restore"), &stalling(&case.s3, &stalls));
    let mut run = case.command(&["run", "slipway.yml"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..600 {
        if !stalls.load(Ordering::SeqCst) {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!stalls.load(Ordering::SeqCst), "no part of an upload came within a minute");
    run.kill().unwrap();
    run.wait().unwrap();
    let list = exits(case.slipway(&["backup", "list", &folder], &[]), 0);
    assert!(list.contains("no backups"), "{list}");

    let text = exits(case.slipway(&["resume"], &[]), 0);
    assert!(text.contains("restored: 2 tables, 5002 rows"), "{text}");
    let list = exits(case.slipway(&["backup", "list", &folder], &[]), 0);
    assert!(list.matches("good").count() == 1 && !list.contains("partial"), "{list}");
    // What the killed upload left is taken away too.
    let uploads = Command::new("curl").args(["-s", &format!("{}/backups?uploads", case.s3)]).output().unwrap();
    let uploads = String::from_utf8_lossy(&uploads.stdout).into_owned();
    assert!(uploads.contains("ListMultipartUploadsResult") && !uploads.contains(&case.database), "{uploads}");
}

#[test]
#[ignore = "needs PostgreSQL and S3 (scripts/testground-postgres, -moto)"]
fn t_bk_03_a_flipped_byte_and_a_wrong_key_are_seen() {
    let Some(case) = Case::new() else { return };
    let local = case.folder().join("{run}.gz.enc").display().to_string();
    exits(case.backup(&format!("encrypt: '${{{{ secrets.BACKUP_KEY }}}}', to: '{local}'"), &[]), 0);
    let name = case.names().into_iter().find(|name| name.ends_with(".enc")).unwrap();
    let path = case.folder().join(&name);
    let url = path.display().to_string();
    exits(case.slipway(&["backup", "verify", &url], &[("SLIPWAY_BACKUP_KEY", KEY)]), 0);
    let text = exits(case.slipway(&["backup", "verify", &url], &[("SLIPWAY_BACKUP_KEY", &"ff".repeat(32))]), 1);
    assert!(text.contains("another key"), "{text}");
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
    let text = exits(case.slipway(&["backup", "verify", &url], &[("SLIPWAY_BACKUP_KEY", KEY)]), 1);
    assert!(text.contains("was changed"), "{text}");
}

#[test]
#[ignore = "needs PostgreSQL and S3 (scripts/testground-postgres, -moto)"]
fn t_bk_04_retention_removes_exactly_the_old_ones() {
    let Some(case) = Case::new() else { return };
    let local = case.folder().join("{date}-{time}-{run}.gz").display().to_string();
    exits(case.backup(&format!("keep: 30d, to: '{local}'"), &[]), 0);
    let first = case.names().into_iter().find(|name| name.ends_with(".gz")).unwrap();
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(case.folder().join(format!("{first}.json"))).unwrap()).unwrap();
    // 31 older ones, one a day, and what is none of ours.
    let day = 24 * 60 * 60 * 1000;
    for age in 1..=31_i64 {
        let name = format!("2026-01-{age:02}-000000-old{age}.gz");
        fs::copy(case.folder().join(&first), case.folder().join(&name)).unwrap();
        let mut old = manifest.clone();
        old["created"] = (manifest["created"].as_i64().unwrap() - age * day).into();
        fs::write(case.folder().join(format!("{name}.json")), old.to_string()).unwrap();
    }
    fs::write(case.folder().join("notes.gz"), "not a backup").unwrap();
    fs::write(case.folder().join("2020-01-01-000000-half.gz"), "without a manifest").unwrap();
    let before = case.names();
    exits(case.backup(&format!("keep: 30d, to: '{local}'"), &[]), 0);
    let after = case.names();
    let gone: Vec<&String> = before.iter().filter(|name| !after.contains(name)).collect();
    let wanted = [
        "2026-01-30-000000-old30.gz",
        "2026-01-30-000000-old30.gz.json",
        "2026-01-31-000000-old31.gz",
        "2026-01-31-000000-old31.gz.json",
    ];
    assert_eq!(gone, wanted, "exactly those of more than 30 days");
}
