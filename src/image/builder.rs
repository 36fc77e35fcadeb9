//! One build through the engine's API: the classic builder, or BuildKit.

use std::collections::HashMap;
use std::path::Path;

use bollard::auth::DockerCredentials;
use bollard::models::{BuildInfo, BuildInfoAux};
use bollard::query_parameters::BuildImageOptions;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::io::AsyncReadExt;

use crate::client::docker::{Engine, reason};
use crate::task::contract::TaskCtx;

use super::buildkit;
use super::trace::Trace;

/// So much of the archive is sent at once.
const PIECE: usize = 64 << 10;

/// What is built.
pub struct Order<'o> {
    /// The packed context.
    pub archive: &'o Path,
    /// The Dockerfile's name in it.
    pub dockerfile: &'o str,
    /// The Dockerfile's stage.
    pub target: Option<&'o str>,
    /// Arguments.
    pub build_args: HashMap<String, String>,
    /// Labels.
    pub labels: HashMap<String, String>,
    /// The name that it gets at once.
    pub tag: &'o str,
    /// Secrets by id, for BuildKit.
    pub secrets: HashMap<String, Vec<u8>>,
    /// Who pulls what it stands on, by registry.
    pub credentials: HashMap<String, DockerCredentials>,
}

/// Which builder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Builder {
    /// The engine's first one.
    Classic,
    /// BuildKit.
    BuildKit,
}

/// What the engine says while it builds; an error ends it.
pub type Progress<'p> = BoxStream<'p, Result<BuildInfo, String>>;

/// Builds, its words into the log, and gives the image's id.
pub async fn build(engine: &Engine, builder: Builder, order: Order<'_>, ctx: &dyn TaskCtx) -> Result<String, String> {
    let docker = engine.client().await.map_err(|error| crate::diagnostic::chain(&error))?;
    let tag = order.tag.to_owned();
    let mut image = None;
    match builder {
        Builder::Classic => {
            let options = BuildImageOptions {
                dockerfile: order.dockerfile.to_owned(),
                t: Some(tag.clone()),
                rm: true,
                forcerm: true,
                buildargs: Some(order.build_args),
                labels: Some(order.labels),
                target: order.target.unwrap_or_default().to_owned(),
                ..BuildImageOptions::default()
            };
            let body = bollard::body_try_stream(pieces(order.archive).await.map_err(|error| error.to_string())?);
            let stream = docker.build_image(options, Some(order.credentials), Some(body));
            follow(stream.map(|item| item.map_err(|error| reason(&error))).boxed(), ctx, &mut image).await?;
        }
        Builder::BuildKit => {
            let (stream, _session) = buildkit::start(engine, order).await?;
            follow(stream, ctx, &mut image).await?;
        }
    }
    match image {
        Some(image) => Ok(image),
        // An engine that does not say which image it made has it under its name.
        None => {
            let found = docker.inspect_image(&tag).await.map_err(|error| reason(&error))?;
            found.id.ok_or_else(|| "the engine does not say which image it made".to_owned())
        }
    }
}

/// The archive in pieces.
pub async fn pieces(
    archive: &Path,
) -> std::io::Result<impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static> {
    let file = tokio::fs::File::open(archive).await?;
    Ok(futures_util::stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; PIECE];
        let count = file.read(&mut piece).await?;
        piece.truncate(count);
        Ok((count > 0).then(|| (Bytes::from(piece), file)))
    }))
}

/// Writes what the engine says into the log, and keeps the image's id.
async fn follow(mut stream: Progress<'_>, ctx: &dyn TaskCtx, image: &mut Option<String>) -> Result<(), String> {
    let mut trace = Trace::default();
    let mut open = String::new();
    while let Some(item) = stream.next().await {
        let info = item?;
        if let Some(text) = &info.stream {
            open.push_str(text);
            while let Some(end) = open.find('\n') {
                let line: String = open.drain(..=end).collect();
                ctx.log(line.trim_end()).await;
            }
        }
        if let (Some(status), None) = (&info.status, &info.stream) {
            match &info.id {
                Some(id) => ctx.state(&format!("{id}: {status}")),
                None => ctx.log(status).await,
            }
        }
        match info.aux {
            Some(BuildInfoAux::BuildKit(status)) => {
                for line in trace.lines(status) {
                    ctx.log(&line).await;
                }
            }
            Some(BuildInfoAux::Default(id)) => *image = id.id.or(image.take()),
            None => {}
        }
        if let Some(message) = info.error_detail.and_then(|detail| detail.message) {
            return Err(message);
        }
    }
    if !open.trim().is_empty() {
        ctx.log(open.trim_end()).await;
    }
    Ok(())
}
