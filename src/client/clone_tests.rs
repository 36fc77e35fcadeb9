//! Fetching from a repository on this machine.
use std::path::Path;
use std::process::Command;

use super::{CloneError, Credential, Mirror, check_url};

fn git(folder: &Path, args: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=ann", "-c", "user.email=ann@example.com", "-c", "init.defaultBranch=main"])
        .args(args)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn t08_t09_urls_that_are_options_or_programs_are_refused() {
    for url in ["https://h.example/a.git", "http://127.0.0.1:3000/a/b", "ssh://git@h.example/a.git", "/srv/git/a.git"] {
        assert_eq!(check_url(url), Ok(()), "{url}");
    }
    for url in [
        "",
        "-h",
        "--upload-pack=x",
        "ext::sh -c x",
        "EXT::sh",
        "fd::17",
        "file:///etc",
        "git://h.example/a",
        "a/b",
        "ssh://-oProxyCommand=x/a",
        "ssh://-x@h.example/a",
        "https://u:secret@h.example/a",
        "https://h.example/\na",
        "h.example:a/b",
    ] {
        let error = check_url(url).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}

#[test]
fn a_commit_is_fetched_and_checked_out_without_hooks_links_or_credentials() {
    let temp = tempfile::tempdir().unwrap();
    let origin = temp.path().join("origin");
    std::fs::create_dir_all(origin.join(".slipway")).unwrap();
    git(temp.path(), &["init", "--quiet", "origin"]);
    std::fs::write(origin.join("slipway.yml"), "one").unwrap();
    std::fs::write(origin.join(".slipway/b.yml"), "two").unwrap();
    std::os::unix::fs::symlink("/etc/passwd", origin.join(".slipway/link.yml")).unwrap();
    git(&origin, &["add", "."]);
    git(&origin, &["commit", "--quiet", "-m", "first"]);
    let first = git(&origin, &["rev-parse", "HEAD"]);
    std::fs::write(origin.join("slipway.yml"), "three").unwrap();
    git(&origin, &["commit", "--quiet", "-am", "second"]);
    let second = git(&origin, &["rev-parse", "HEAD"]);
    let credential = Credential::Token { user: "bot".to_owned(), token: crate::secret::Secret::new("t0ken") };
    let url = origin.to_string_lossy().into_owned();
    let mirror = Mirror { url, folder: temp.path().join("mirror"), credential, depth: 1 };
    assert_eq!(mirror.fetch("refs/heads/main", Some(&first)).unwrap(), first);
    assert_eq!(mirror.fetch("refs/heads/main", None).unwrap(), second);
    let files = mirror.files(&first, &["slipway.yml", ".slipway/"]).unwrap();
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!((names, files[1].1.as_slice()), (vec![".slipway/b.yml", "slipway.yml"], &b"one"[..]));
    let out = temp.path().join("out");
    mirror.check_out(&first, "refs/heads/-h", &out).unwrap();
    assert_eq!(git(&out, &["rev-parse", "HEAD"]), first);
    assert_eq!(git(&out, &["symbolic-ref", "HEAD"]), "refs/heads/-h");
    assert_eq!(std::fs::read_to_string(out.join("slipway.yml")).unwrap(), "one");
    assert!(!std::fs::read_to_string(out.join(".git/config")).unwrap().contains("t0ken"));
    let gone = mirror.fetch("refs/heads/main", Some(&"a".repeat(40))).unwrap_err();
    assert!(matches!(&gone, CloneError::Never { .. } | CloneError::Later { .. }), "{gone}");
    let error = mirror.fetch("refs/heads/none", None).unwrap_err().to_string();
    assert!(error.contains("refs/heads/none") && !error.contains("t0ken"), "{error}");
}
