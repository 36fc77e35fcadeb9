//! `slipway backup list|verify|restore`: what backups left.

use std::path::Path;
use std::process::Command;

use crate::backup::{BackupError, Connection, Key, Place, Stored, fetch, list, unpack_to};
use crate::clock::{Clock, SystemClock};
use crate::exit::Exit;

use super::run::on_runtime;

/// Lists, verifies and restores backups.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Lists the backups in a place, oldest first
    List {
        /// A folder, file: or s3: URL
        url: String,
    },
    /// Reads a backup back: size, sha256, decryption
    Verify {
        /// The backup's URL
        url: String,
    },
    /// Restores a backup into a database
    Restore {
        /// The backup's URL
        url: String,
        /// The database, postgres://USER@HOST/NAME; a password may stand in it or in PGPASSWORD
        #[arg(long, value_name = "URI")]
        to: String,
        /// Also into a database that has tables; what is in the way is replaced
        #[arg(long)]
        force: bool,
    },
}

/// Runs the command. The key is SLIPWAY_BACKUP_KEY, else the one of slipway.toml: a command line is no place for it. Storage is
/// reached as the usual variables (`AWS_*`) say.
pub fn run(args: &Args) -> Exit {
    on_runtime(async {
        let done = match &args.what {
            What::List { url } => show(url).await,
            What::Verify { url } => verify(url).await,
            What::Restore { url, to, force } => restore(url, to, *force).await,
        };
        match done {
            Ok(()) => Exit::Success,
            Err(error) => {
                eprintln!("error: {error}");
                Exit::PipelineFailed
            }
        }
    })
}

fn place(url: &str) -> Result<(Place, String), BackupError> {
    let env: Vec<(String, String)> = std::env::vars().filter(|(name, _)| name.starts_with("AWS_")).collect();
    let absolute = if url.contains("://") || url.starts_with('/') {
        url.to_owned()
    } else {
        std::path::absolute(url).map_or_else(|_| url.to_owned(), |path| path.display().to_string())
    };
    Place::of(&absolute, &env)
}

fn key() -> Result<Option<Key>, BackupError> {
    if let Ok(text) = std::env::var("SLIPWAY_BACKUP_KEY") {
        return Ok(Some(Key::of(&text)));
    }
    let config = super::config::load().map_err(|error| BackupError(error.to_string()))?;
    Ok(config.backup_key.map(|key| Key::of(key.expose())))
}

async fn show(url: &str) -> Result<(), BackupError> {
    let (place, folder) = place(url)?;
    let folder = if folder.is_empty() || folder.ends_with('/') { folder } else { format!("{folder}/") };
    let stored = list(&place, &folder).await?;
    if stored.is_empty() {
        println!("no backups in {}", place.url(&folder));
    }
    for Stored { name, manifest } in &stored {
        let url = place.url(name);
        match manifest {
            Some(manifest) => {
                let age = crate::clock::humanize(SystemClock.now().since(manifest.created));
                let sealed = if manifest.key.is_some() { "encrypted" } else { "clear" };
                println!(
                    "good     {age:>8} old  {:>12} bytes  {sealed:<9}  {}  {url}",
                    manifest.size, manifest.database
                );
            }
            None => println!("partial  {:>8}      {:>12}        {:<9}  -  {url}", "", "", ""),
        }
    }
    Ok(())
}

fn scratch() -> Result<tempfile::TempDir, BackupError> {
    tempfile::tempdir().map_err(|error| BackupError::because("failed to make a private folder", &error))
}

async fn verify(url: &str) -> Result<(), BackupError> {
    let ((place, name), folder) = (place(url)?, scratch()?);
    let packed = folder.path().join("packed");
    let manifest = fetch(&place, &name, &packed).await?;
    let size = unpack_to(&manifest, key()?.as_ref(), &packed, None).await?;
    println!("good: {} of \"{}\", a dump of {size} bytes", place.url(&name), manifest.database);
    Ok(())
}

async fn restore(url: &str, to: &str, force: bool) -> Result<(), BackupError> {
    let ((place, name), folder) = (place(url)?, scratch()?);
    let into = Connection::of(to)?;
    let (packed, dump) = (folder.path().join("packed"), folder.path().join("dump"));
    if !force {
        let counted = program(
            &into.statement(
                "select count(*) from pg_tables where schemaname not in ('pg_catalog', 'information_schema')",
            ),
            &into,
        )?;
        if counted.trim() != "0" {
            return Err(BackupError(format!(
                "the database \"{}\" is not empty: restore into another, or give --force",
                into.database()
            )));
        }
    }
    let manifest = fetch(&place, &name, &packed).await?;
    unpack_to(&manifest, key()?.as_ref(), &packed, Some(&dump)).await?;
    program(&restore_argv(&into, &dump, force), &into)?;
    println!("restored {} into \"{}\"", place.url(&name), into.database());
    Ok(())
}

fn restore_argv(into: &Connection, dump: &Path, force: bool) -> Vec<String> {
    let mut argv = into.restore(&dump.display().to_string());
    if force {
        argv.splice(1..1, ["--clean".to_owned(), "--if-exists".to_owned()]);
    }
    argv
}

fn program(argv: &[String], connection: &Connection) -> Result<String, BackupError> {
    let (name, rest) = argv.split_first().ok_or_else(|| BackupError("nothing to run".to_owned()))?;
    let output = Command::new(name).args(rest).envs(connection.env()).output();
    let output = output.map_err(|error| BackupError::because(format!("failed to run \"{name}\""), &error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(BackupError(format!("\"{name}\" failed: {}", said.trim().lines().last().unwrap_or("it said nothing"))))
}
