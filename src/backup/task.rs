//! The task of `backup`.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::kube::Cluster;
use crate::secret::Secret;
use crate::stage::{Backup, Compress, Target, Typed, VerifyBackup};
use crate::task::contract::{
    Preview, PreviewLine, Surroundings, Task, TaskCtx, TaskEnd, TaskError, TaskSpec, effect, remember,
};

use super::error::BackupError;
use super::manifest::Manifest;
use super::pack::{Packed, hex, pack};
use super::place::Place;
use super::postgres::Connection;
use super::retention::expired;
use super::seal::Key;
use super::stored::{fetch, list, unpack_to};
use super::template::{Template, Values};
use super::verify::{FOLDER, Room, count, restore, run};

/// Does `backup`.
#[derive(Debug, Clone, Default)]
pub struct BackupTask {
    key: Option<Secret>,
}

impl BackupTask {
    /// With the user's key, for backups that name none.
    pub fn new(key: Option<Secret>) -> Self {
        Self { key }
    }

    fn key(&self, backup: &Backup) -> Result<Option<Key>, TaskError> {
        let text = match &backup.encrypt {
            Some(text) if text.trim().is_empty() => {
                return Err(TaskError::failed(
                    "\"encrypt\" is empty: the secret that it names is not given".to_owned(),
                ));
            }
            Some(text) => Some(text.as_str()),
            None => self.key.as_ref().map(Secret::expose),
        };
        let key = text.map(Key::of);
        if key.is_none() && backup.to.iter().any(|target| target.url.ends_with(".enc")) {
            let message = "the name ends in .enc, and there is no key: write \"encrypt\", or a key into slipway.toml";
            return Err(TaskError::failed(message));
        }
        Ok(key)
    }
}

/// What is on record of one target.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    url: String,
    size: u64,
    sha256: String,
}

fn settings(spec: &TaskSpec) -> Result<&Backup, TaskError> {
    match &spec.typed {
        Typed::Backup(backup) => Ok(backup),
        other => Err(TaskError::failed(format!("\"{}\" is no backup", other.kind().name()))),
    }
}

fn failed(error: BackupError) -> TaskError {
    TaskError::failed(error.to_string())
}

fn named(target: &Target, env: &[(String, String)], values: &Values) -> Result<(Place, String), TaskError> {
    let (place, template) = Place::of(&target.url, env).map_err(failed)?;
    Ok((place, Template::new(template).fill(values)))
}

#[async_trait]
impl Task for BackupTask {
    async fn preview(&self, spec: &TaskSpec, around: &dyn Surroundings) -> Result<Preview, TaskError> {
        let backup = settings(spec)?;
        let mut preview = Preview::default();
        if backup.postgres.uri.is_empty() {
            preview.refused.push("the database's address is empty: the secret that it names is not given".to_owned());
            return Ok(preview);
        }
        let connection = Connection::of(&backup.postgres.uri).map_err(failed)?;
        let file = format!("{FOLDER}/dump");
        let argv = match &backup.postgres.pod {
            Some(_) => connection.dump(None, backup.compress != Compress::None),
            None => connection.dump(Some(&file), backup.compress != Compress::None),
        };
        preview
            .lines
            .push(PreviewLine::Command { argv: argv.iter().map(|word| around.mask(word)).collect(), image: None });
        if let Some(pod) = &backup.postgres.pod {
            preview = preview.effect(format!("the dump runs in the pod \"{pod}\""));
        }
        let key = self.key(backup);
        let encrypted = if matches!(key, Ok(Some(_))) { ", AES-256-GCM" } else { ", not encrypted" };
        for target in &backup.to {
            let keep = target.keep.map_or("kept for ever".to_owned(), |keep| {
                format!("older ones than {} are deleted, never the last", crate::clock::humanize(keep))
            });
            let compress = backup.compress.name();
            preview = preview.effect(format!("store {} ({compress}{encrypted}), {keep}", around.mask(&target.url)));
        }
        preview = preview.effect(match &backup.verify {
            VerifyBackup::Checksum => "read it back: size, sha256, decryption".to_owned(),
            VerifyBackup::Restore { .. } => "read it back, and restore it into a throw-away database".to_owned(),
        });
        if let Err(error) = key {
            preview.refused.push(error.to_string());
        }
        Ok(preview)
    }

    async fn run(&self, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError> {
        let backup = settings(spec)?;
        if ctx.identity().untrusted {
            return Err(TaskError::failed("a run of an outsider's commit makes no backups".to_owned()));
        }
        let key = self.key(backup)?;
        let connection = Connection::of(&backup.postgres.uri).map_err(failed)?;
        let room = Room::make(ctx.workspace())
            .map_err(|error| TaskError::because("failed to make room for the dump", &error))?;
        let made = Making { backup, spec, ctx, connection: &connection, key: key.as_ref(), room: &room };
        made.make().await
    }
}

/// One backup in the making.
struct Making<'a> {
    backup: &'a Backup,
    spec: &'a TaskSpec,
    ctx: &'a dyn TaskCtx,
    connection: &'a Connection,
    key: Option<&'a Key>,
    room: &'a Room,
}

impl Making<'_> {
    async fn make(&self) -> Result<TaskEnd, TaskError> {
        let ctx = self.ctx;
        // The name of what a crash left must be found again.
        let at = remember(ctx, "begun", || async { Ok(ctx.now()) }).await?;
        let identity = ctx.identity();
        let run = identity.run.as_ref().map(ToString::to_string).unwrap_or_default();
        let database = self.connection.database();
        let values = Values { at, run: run.clone(), sha: identity.commit.clone(), database: database.clone() };
        let places =
            self.backup.to.iter().map(|target| named(target, ctx.env(), &values)).collect::<Result<Vec<_>, _>>()?;
        let mut kept = Vec::new();
        if (0..places.len())
            .all(|index| ctx.recall(&upload_key(index)).is_some_and(|known| known.observation.is_some()))
        {
            for (index, (place, name)) in places.iter().enumerate() {
                kept.push(self.store(index, place, name, None).await?);
            }
        } else {
            let (packed, manifest) = self.dump(at, &run).await?;
            for (index, (place, name)) in places.iter().enumerate() {
                kept.push(self.store(index, place, name, Some((&packed, &manifest))).await?);
            }
        }
        for (index, (place, name)) in places.iter().enumerate() {
            if let Err(error) = self.verify(place, name, index == 0, &run).await {
                if matches!(error, TaskError::Failed { .. }) {
                    self.withdraw(&places).await;
                }
                return Err(error);
            }
        }
        for ((place, _), target) in places.iter().zip(&self.backup.to) {
            self.retain(place, target, &database).await?;
        }
        let first = kept.into_iter().next().ok_or_else(|| TaskError::failed("\"to\" is empty"))?;
        let outputs = [("url", first.url.clone()), ("size", first.size.to_string()), ("sha256", first.sha256.clone())];
        Ok(TaskEnd {
            outputs: outputs.map(|(name, value)| (name.to_owned(), value)).into(),
            facts: json!({"url": first.url, "size": first.size, "sha256": first.sha256}),
        })
    }

    fn packed(&self) -> PathBuf {
        self.ctx.scratch().join("backup")
    }

    /// Dumps and packs.
    async fn dump(&self, at: crate::clock::Timestamp, run_id: &str) -> Result<(Packed, Manifest), TaskError> {
        let ctx = self.ctx;
        let again = ctx.recorded().iter().filter(|key| key.starts_with("dumping")).count();
        // A dump that was under way when the engine died is not used: whether it is whole cannot be seen from outside.
        remember(ctx, &format!("dumping-{again}"), || async { Ok(()) }).await?;
        let file = self.room.path.join("dump");
        let what = format!("dump the database \"{}\"", self.connection.database());
        let before = count(ctx, &format!("count-before-{again}"), self.connection).await?;
        let packed_later = self.backup.compress != Compress::None;
        match &self.backup.postgres.pod {
            Some(pod) => self.dump_in_pod(pod, &file, packed_later).await?,
            None => {
                let argv = self.connection.dump(Some(&format!("{}/dump", self.room.inside)), packed_later);
                run(ctx, &format!("dump-{again}"), &what, argv, self.connection).await?;
            }
        }
        let after = count(ctx, &format!("count-after-{again}"), self.connection).await?;
        let (to, compress, key) = (self.packed(), self.backup.compress, self.key.cloned());
        let packed = tokio::task::spawn_blocking(move || pack(&file, &to, compress, key.as_ref())).await;
        let packed = packed
            .map_err(|error| TaskError::because("failed to pack the dump", &error))?
            .map_err(|error| TaskError::because("failed to pack the dump", &error))?;
        let manifest = Manifest {
            version: Manifest::VERSION,
            database: self.connection.database(),
            created: at,
            run: run_id.to_owned(),
            commit: ctx.identity().commit.clone(),
            size: packed.size,
            sha256: packed.sha256.clone(),
            compress: compress.name().to_owned(),
            key: self.key.map(|key| hex(&key.id())),
            tables: before
                .filter(|_| before.map(|(tables, _)| tables) == after.map(|(tables, _)| tables))
                .map(|(tables, _)| tables),
            // Rows of a database that was written to meanwhile are not those of the dump.
            rows: before.filter(|_| before == after).map(|(_, rows)| rows),
            tool: format!("slipway {}", env!("CARGO_PKG_VERSION")),
        };
        ctx.log(&format!("packed: {} bytes, sha256 {}", packed.size, packed.sha256)).await;
        Ok((packed, manifest))
    }

    async fn dump_in_pod(&self, pod: &str, file: &Path, packed_later: bool) -> Result<(), TaskError> {
        let environment = self.spec.environment.as_ref();
        let (Some(cluster), Some(namespace)) =
            (environment.map(|it| &it.cluster), environment.and_then(|it| it.namespace.as_deref()))
        else {
            let message =
                format!("the pod \"{pod}\" needs a cluster and a namespace: write \"environment:\" beside \"backup\"");
            return Err(TaskError::failed(message));
        };
        let what = format!("dump the database in the pod \"{pod}\" of \"{namespace}\"");
        let cluster =
            Cluster::connect(cluster).await.map_err(|error| TaskError::because(format!("failed to {what}"), &error))?;
        let mut to = tokio::fs::File::create(file)
            .await
            .map_err(|error| TaskError::because(format!("failed to {what}"), &error))?;
        let (argv, input) = self.connection.told(self.connection.dump(None, packed_later));
        let code = cluster
            .exec_with(namespace, pod, None, &argv, &input, &mut to)
            .await
            .map_err(|error| TaskError::because(format!("failed to {what}"), &error))?;
        if code != 0 {
            return Err(TaskError::failed(format!("failed to {what}: \"pg_dump\" ended with {code}")));
        }
        Ok(())
    }

    /// Stores in one place, the manifest last.
    async fn store(
        &self,
        index: usize,
        place: &Place,
        name: &str,
        made: Option<(&Packed, &Manifest)>,
    ) -> Result<Kept, TaskError> {
        let ctx = self.ctx;
        let key = upload_key(index);
        let is_ours = ctx.recall(&key).is_some();
        let run = ctx.identity().run.as_ref().map(ToString::to_string).unwrap_or_default();
        let url = place.url(name);
        let act = || async {
            let (packed, manifest) = made.ok_or_else(|| TaskError::Lost(format!("the dump for \"{url}\" is gone")))?;
            if !is_ours && place.size(name).await.map_err(failed)?.is_some() {
                return Err(TaskError::failed(format!(
                    "\"{url}\" is there already, and backups are never overwritten: put {{time}} or {{run}} into the name"
                )));
            }
            self.upload(index, place, name).await?;
            let text = serde_json::to_vec_pretty(manifest)
                .map_err(|error| TaskError::because("failed to write the manifest", &error))?;
            place.put(&format!("{name}{}", Manifest::ENDING), text).await.map_err(failed)?;
            ctx.log(&format!("stored {url}")).await;
            Ok(Kept { url: url.clone(), size: packed.size, sha256: packed.sha256.clone() })
        };
        let observe = || async {
            let manifest = Manifest::beside(place, name).await.map_err(failed)?;
            let ours = manifest.filter(|manifest| manifest.run == run);
            Ok(ours.map(|manifest| Kept { url: url.clone(), size: manifest.size, sha256: manifest.sha256 }))
        };
        effect(ctx, &key, json!({"store": url}), act, observe).await
    }

    /// Uploads. What an upload left that a crash ended is taken away first.
    async fn upload(&self, index: usize, place: &Place, name: &str) -> Result<(), TaskError> {
        let ctx = self.ctx;
        let key = |number: usize| format!("upload-{index}-{number}");
        let mut number = 0;
        while let Some(before) = ctx.recall(&key(number)) {
            if let Some(ticket) = before.observation.as_ref().and_then(|ticket| ticket.as_str()) {
                place.abort(name, ticket).await.map_err(failed)?;
            }
            number += 1;
        }
        let begin = || async { place.begin(name).await.map_err(failed) };
        let ticket: String = remember(ctx, &key(number), begin).await?;
        let packed = self.packed();
        let uploaded = tokio::select! {
            uploaded = place.upload(name, &ticket, &packed) => uploaded.map_err(failed),
            () = ctx.cancelled() => Err(TaskError::Cancelled),
        };
        if uploaded.is_err() {
            // The first error is the one to tell.
            let _ = place.abort(name, &ticket).await;
        }
        uploaded
    }

    /// What cannot be used is no backup: it goes from all places, its manifest first.
    async fn withdraw(&self, places: &[(Place, String)]) {
        for (place, name) in places {
            for name in [format!("{name}{}", Manifest::ENDING), name.clone()] {
                match place.delete(&name).await {
                    Ok(()) => self.ctx.log(&format!("removed {}, which cannot be used", place.url(&name))).await,
                    Err(error) => self.ctx.log(&error.to_string()).await,
                }
            }
        }
    }

    /// Reads it back; restores it where that is asked (once: all places hold the same).
    async fn verify(&self, place: &Place, name: &str, with_restore: bool, run: &str) -> Result<(), TaskError> {
        let ctx = self.ctx;
        let (packed, dump) = (ctx.scratch().join("back"), self.room.path.join("restore"));
        let manifest = fetch(place, name, &packed).await.map_err(failed)?;
        let restores = with_restore && self.backup.verify != VerifyBackup::Checksum;
        let to = restores.then_some(dump.as_path());
        let size = unpack_to(&manifest, self.key, &packed, to).await.map_err(failed)?;
        ctx.log(&format!("read back {}: the dump has {size} bytes", place.url(name))).await;
        if let (VerifyBackup::Restore { uri }, true) = (&self.backup.verify, restores) {
            let server = match uri {
                Some(uri) => Connection::of(uri).map_err(failed)?,
                None => self.connection.clone(),
            };
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&dump, std::fs::Permissions::from_mode(0o644))
                .map_err(|error| TaskError::because("failed to hand the dump over", &error))?;
            let scratch = format!("slipway_verify_{run}");
            let text = restore(ctx, &server, &scratch, &format!("{}/restore", self.room.inside), &manifest).await?;
            ctx.log(&text).await;
        }
        // Not to lie about while the next is read.
        let _ = std::fs::remove_file(&packed);
        Ok(())
    }

    async fn retain(&self, place: &Place, target: &Target, database: &str) -> Result<(), TaskError> {
        let Some(keep) = target.keep else { return Ok(()) };
        let (_, template) = Place::of(&target.url, self.ctx.env()).map_err(failed)?;
        let template = Template::new(template);
        let stored = list(place, template.folder()).await.map_err(failed)?;
        let ours: Vec<_> = stored
            .into_iter()
            .filter(|stored| template.matches(&stored.name, database))
            .filter_map(|stored| Some((stored.name, stored.manifest?.created)))
            .collect();
        for name in expired(&ours, keep, self.ctx.now()) {
            // The manifest first: what has none is no backup, should the rest fail.
            place.delete(&format!("{name}{}", Manifest::ENDING)).await.map_err(failed)?;
            place.delete(&name).await.map_err(failed)?;
            self.ctx.log(&format!("deleted {}, older than {}", place.url(&name), crate::clock::humanize(keep))).await;
        }
        Ok(())
    }
}

fn upload_key(index: usize) -> String {
    format!("store-{index}")
}
