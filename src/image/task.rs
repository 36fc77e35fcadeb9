//! The task of `build`.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::client::docker::{Engine, status};
use crate::stage::{Build, Typed};
use crate::task::contract::{Preview, Surroundings, Task, TaskCtx, TaskEnd, TaskError, TaskSpec, effect};

use super::builder::{Builder, Order, build};
use super::context::{Context, ContextError};
use super::dockerfile::Dockerfile;
use super::name::Name;
use super::push;

/// From this version of its API on an engine builds with BuildKit by itself.
const BUILDKIT_BY_DEFAULT: (u32, u32) = (1, 42);

/// How an engine says that it may not have what an image stands on, or that it is not there.
const PULL_FAILED: [&str; 6] = [
    "pull access denied",
    "manifest unknown",
    "no basic auth credentials",
    "unauthorized",
    "authorization failed",
    "not found: does not exist",
];

/// Does `build`.
pub struct BuildTask {
    engine: Arc<Engine>,
}

/// What a build came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Built {
    image: String,
}

/// What a push came to.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Pushed {
    digest: String,
}

impl BuildTask {
    /// With this engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl Task for BuildTask {
    async fn preview(&self, spec: &TaskSpec, around: &dyn Surroundings) -> Result<Preview, TaskError> {
        let settings = settings(spec)?;
        let mut preview = Preview::default();
        let tags = quoted(&settings.tags);
        let open = |text: &str| text.contains("${{");
        let mut with = String::new();
        if open(&settings.context) || open(&settings.file) {
            preview.unknown.push("which Dockerfile is built: its path is known only in the run".to_owned());
        } else {
            match Context::find(around.workspace(), &settings.context, &settings.file) {
                Ok(context) => {
                    let needs = Dockerfile::read(&context.dockerfile_text).needs_buildkit;
                    if needs.is_some() || !settings.secrets.is_empty() {
                        with = " with BuildKit".to_owned();
                    }
                    if let Err(error) = context.ignore() {
                        preview.refused.push(crate::diagnostic::chain(&error));
                    }
                }
                Err(error) => preview.refused.push(crate::diagnostic::chain(&error)),
            }
        }
        let target = settings.target.as_ref().map(|target| format!(", target \"{target}\"")).unwrap_or_default();
        let what = format!("build image {tags} from \"{}\" in \"{}\"{target}{with}", settings.file, settings.context);
        let mut preview = preview.effect(around.mask(&what));
        if settings.push {
            for tag in &settings.tags {
                preview = preview.effect(around.mask(&format!("push \"{tag}\"")));
            }
            if around.identity().untrusted {
                preview.refused.push(untrusted());
            }
        }
        Ok(preview)
    }

    async fn run(&self, spec: &TaskSpec, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError> {
        let settings = settings(spec)?;
        if settings.push && ctx.identity().untrusted {
            return Err(TaskError::failed(untrusted()));
        }
        for (id, secret) in &settings.secrets {
            if !secret.is_empty() {
                ctx.add_mask(secret);
            } else {
                ctx.log(&format!("warning: the secret \"{id}\" is empty: is what it names set for this stage?")).await;
            }
        }
        if let Some((username, password)) = &settings.credentials {
            if username.is_empty() || password.is_empty() {
                let message =
                    "\"credentials\" has no username or no password: is the secret that it names set for this stage?";
                return Err(TaskError::failed(message));
            }
            ctx.add_mask(password);
        }
        // What was begun is put right by itself: an engine ends a build and a push whose caller has gone.
        tokio::select! {
            biased;
            () = ctx.cancelled() => Err(TaskError::Cancelled),
            end = self.build_and_push(settings, ctx) => end,
        }
    }
}

impl BuildTask {
    async fn build_and_push(&self, settings: &Build, ctx: &dyn TaskCtx) -> Result<TaskEnd, TaskError> {
        let names: Vec<Name> = settings.tags.iter().map(|tag| Name::parse(tag)).collect();
        let what = format!("failed to build image {}", quoted(&settings.tags));
        let Some(first) = names.first() else {
            return Err(TaskError::failed("failed to build an image: \"tags\" names none"));
        };
        let docker = self.engine.client().await.map_err(|error| TaskError::because(&what, &error))?;
        let intent = json!({"tags": settings.tags, "context": settings.context, "file": settings.file});
        let make = || async { self.build_once(settings, first, ctx, &what).await.map(|image| Built { image }) };
        // The same files give the same image, from the engine's cache: it is built again when it is not known what came of it.
        let mut built = effect(ctx, "build", intent.clone(), make, || async { Ok(None) }).await?;
        if let Err(error) = docker.inspect_image(&built.image).await
            && status(&error) == Some(404)
        {
            ctx.log(&format!("image {} was built and is gone from the engine: it is built again", built.image)).await;
            built = effect(ctx, "build-again", intent, make, || async { Ok(None) }).await?;
        }
        for name in &names {
            let failed = |why: String| {
                TaskError::failed(format!("failed to name image {} \"{}\": {why}", built.image, name.full()))
            };
            push::tag(docker, &built.image, name).await.map_err(failed)?;
        }
        ctx.log(&format!("built {} as {}", built.image, quoted(&settings.tags))).await;
        let mut digest = None;
        if settings.push {
            for name in &names {
                let pushed = self.push_once(settings, &built.image, name, ctx).await?;
                ctx.log(&format!("pushed \"{}\" as {pushed}", name.full())).await;
                digest.get_or_insert(pushed);
            }
        }
        Ok(end(settings, first, built.image, digest))
    }

    async fn build_once(
        &self,
        settings: &Build,
        tag: &Name,
        ctx: &dyn TaskCtx,
        what: &str,
    ) -> Result<String, TaskError> {
        let fail = |error: ContextError| TaskError::because(what, &error);
        let context = Context::find(ctx.workspace(), &settings.context, &settings.file).map_err(fail)?;
        let archive = ctx.scratch().join("context.tar");
        let packing = {
            let (context, archive) = (context.clone(), archive.clone());
            tokio::task::spawn_blocking(move || context.pack(&archive))
        };
        let packed = packing.await.map_err(|error| TaskError::because(what, &error))?.map_err(fail)?;
        let size = match packed.bytes >> 20 {
            0 => format!("{} KiB", packed.bytes.div_ceil(1024)),
            mib => format!("{mib} MiB"),
        };
        ctx.log(&format!(
            "context \"{}\": {} {}, {size}",
            settings.context,
            packed.entries,
            if packed.entries == 1 { "entry" } else { "entries" }
        ))
        .await;
        for name in &packed.strange {
            ctx.log(&format!("left out: \"{name}\" is no file, folder or link with a name in UTF-8")).await;
        }
        let dockerfile = Dockerfile::read(&context.dockerfile_text);
        let builder = self.choose(settings, &dockerfile, ctx).await;
        for (name, value) in settings.build_args.iter().filter(|(_, value)| ctx.mask(value) != *value) {
            let _ = value;
            ctx.log(&format!("warning: build argument \"{name}\" holds a secret, which stays readable in the image's history: use \"secrets\"")).await;
        }
        let mut credentials = HashMap::new();
        // What FROM takes from an argument is not known here; it is mostly of the registry that the image goes to.
        for registry in dockerfile.registries.into_iter().chain(tag.registry.clone()) {
            let found = push::credentials(given(settings, Some(&registry)), Some(&registry)).await;
            credentials.extend(found.map(|found| (registry, found)));
        }
        let order = Order {
            archive: &archive,
            dockerfile: &context.dockerfile_name,
            target: settings.target.as_deref(),
            build_args: settings.build_args.iter().cloned().collect(),
            labels: settings.labels.iter().cloned().collect(),
            tag: &tag.full(),
            secrets: settings.secrets.iter().map(|(id, secret)| (id.clone(), secret.clone().into_bytes())).collect(),
            credentials,
        };
        let built = build(&self.engine, builder, order, ctx).await;
        // It may be large, and the folder lives as long as the stage.
        let _ = tokio::fs::remove_file(&archive).await;
        built.map_err(|why| TaskError::failed(format!("{what} from \"{}\": {}", settings.file, with_way_out(&why))))
    }

    /// BuildKit where it is needed, or where the engine uses it by itself.
    async fn choose(&self, settings: &Build, dockerfile: &Dockerfile, ctx: &dyn TaskCtx) -> Builder {
        if !settings.secrets.is_empty() {
            ctx.log("builder: BuildKit, as \"secrets\" are given, which only it keeps out of the image").await;
            return Builder::BuildKit;
        }
        if let Some(why) = &dockerfile.needs_buildkit {
            ctx.log(&format!("builder: BuildKit, as the Dockerfile has {why}")).await;
            return Builder::BuildKit;
        }
        let version = match self.engine.client().await {
            Ok(docker) => docker.version().await.ok().and_then(|version| version.api_version),
            Err(_) => None,
        };
        let numbers = version.as_deref().and_then(|version| version.split_once('.'));
        let numbers = numbers.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        if numbers.is_some_and(|numbers: (u32, u32)| numbers >= BUILDKIT_BY_DEFAULT) {
            Builder::BuildKit
        } else {
            Builder::Classic
        }
    }

    async fn push_once(
        &self,
        settings: &Build,
        image: &str,
        name: &Name,
        ctx: &dyn TaskCtx,
    ) -> Result<String, TaskError> {
        let what = format!("failed to push \"{}\"", name.full());
        let docker = self.engine.client().await.map_err(|error| TaskError::because(&what, &error))?;
        let credentials = push::credentials(given(settings, name.registry.as_deref()), name.registry.as_deref()).await;
        let credentials = credentials.as_ref();
        let pushed: Pushed = effect(
            ctx,
            &format!("push {}", name.full()),
            json!({"image": image, "name": name.full()}),
            || async {
                let digest = push::push(docker, name, credentials, ctx).await;
                digest.map(|digest| Pushed { digest }).map_err(|why| TaskError::failed(format!("{what}: {why}")))
            },
            || async {
                let found = push::was_pushed(docker, image, name, credentials).await;
                if found.is_some() {
                    ctx.log(&format!("\"{}\" was pushed before this process began", name.full())).await;
                }
                Ok(found.map(|digest| Pushed { digest }))
            },
        )
        .await?;
        Ok(pushed.digest)
    }
}

fn settings(spec: &TaskSpec) -> Result<&Build, TaskError> {
    match &spec.typed {
        Typed::Build(build) => Ok(build),
        other => Err(TaskError::failed(format!("\"{}\" is no build", other.kind().name()))),
    }
}

/// The file's credentials, if they are for `registry`: they belong to that of the first tag, and no other is to see them.
fn given<'s>(settings: &'s Build, registry: Option<&str>) -> Option<&'s (String, String)> {
    let own = settings.tags.first().and_then(|tag| Name::parse(tag).registry);
    settings.credentials.as_ref().filter(|_| own.as_deref() == registry)
}

fn untrusted() -> String {
    "the image is not pushed: outsiders can have written this commit; build it without \"push\", or run it from a branch of the repository".to_owned()
}

/// Outputs and facts. An image that was not pushed has no digest that a registry would know: its name and its id stand for it.
fn end(settings: &Build, first: &Name, image: String, digest: Option<String>) -> TaskEnd {
    let reference = match &digest {
        Some(digest) => format!("{}@{digest}", first.repository),
        None => first.full(),
    };
    let shown = digest.clone().unwrap_or_else(|| image.clone());
    TaskEnd {
        outputs: vec![("ref".to_owned(), reference.clone()), ("digest".to_owned(), shown)],
        // A deploy takes "ref" for an image that every node can have.
        facts: json!({"ref": digest.as_ref().map(|_| &reference), "digest": digest, "tags": settings.tags, "image": image, "pushed": settings.push}),
    }
}

fn with_way_out(why: &str) -> String {
    let lower = why.to_lowercase();
    let help = match () {
        () if PULL_FAILED.iter().any(|words| lower.contains(words)) => {
            "; check the names behind FROM, log in with `docker login`, or give \"credentials\""
        }
        () if lower.contains("buildkit not supported") => {
            "; this engine has no BuildKit: leave \"secrets\" and \"--mount\" out, or update it"
        }
        () => "",
    };
    format!("{}{help}", why.trim())
}

fn quoted(tags: &[String]) -> String {
    tags.iter().map(|tag| format!("\"{tag}\"")).collect::<Vec<_>>().join(", ")
}
