//! Where backups lie: a folder or an S3 bucket.

use std::path::Path as FilePath;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, WriteMultipart};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::error::{BackupError, Tried};

/// Parts of an upload; S3 wants at least 5 MiB.
const PART: u64 = 8 * 1024 * 1024;
/// Parts of one upload; S3 takes 10,000.
const MOST_PARTS: u64 = 9_000;
/// Parts on the way to a folder at once.
const PARTS_AT_ONCE: usize = 4;
/// No manifest is larger.
const SMALL: u64 = 1024 * 1024;

/// A store, and what its URLs begin with.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    /// The same, where uploads in parts outlive this process.
    bucket: Option<Arc<AmazonS3>>,
    /// `s3://BUCKET/` or `file:///`.
    base: String,
}

impl Place {
    /// The place of a URL, and what stands behind it: a name or a template. Settings come from `env`, `AWS_*` for S3.
    pub fn of(url: &str, env: &[(String, String)]) -> Result<(Place, String), BackupError> {
        if let Some(rest) = url.strip_prefix("s3://") {
            let (bucket, name) = rest.split_once('/').unwrap_or((rest, ""));
            return Ok((Self::s3(bucket, env)?, name.to_owned()));
        }
        let path = url.strip_prefix("file://").unwrap_or(url);
        let Some(name) = path.strip_prefix('/') else {
            return Err(BackupError(format!(
                "\"{url}\" is no place for backups: write s3://BUCKET/NAME or /FOLDER/NAME"
            )));
        };
        Ok((
            Place { store: Arc::new(LocalFileSystem::new()), bucket: None, base: "file:///".to_owned() },
            name.to_owned(),
        ))
    }

    fn s3(bucket: &str, env: &[(String, String)]) -> Result<Place, BackupError> {
        let mut builder = AmazonS3Builder::new().with_bucket_name(bucket);
        for (name, value) in env.iter().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty()) {
            // Many of them are not for the store.
            if let Ok(key) = AmazonS3ConfigKey::from_str(&name.to_ascii_lowercase()) {
                builder = builder.with_config(key, value);
            }
            // Who names such an endpoint means it.
            if name == "AWS_ENDPOINT_URL" && value.starts_with("http://") {
                builder = builder.with_allow_http(true);
            }
        }
        let store = builder.build().tried(|| format!("reach the bucket \"{bucket}\" (AWS_* in `env` say how)"))?;
        let store = Arc::new(store);
        Ok(Place { store: store.clone(), bucket: Some(store), base: format!("s3://{bucket}/") })
    }

    /// The URL of a name here.
    pub fn url(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }

    fn path(&self, name: &str) -> Result<Path, BackupError> {
        Path::parse(name).tried(|| format!("use the name \"{}\"", self.url(name)))
    }

    /// The size of an object, if it is there.
    pub async fn size(&self, name: &str) -> Result<Option<u64>, BackupError> {
        match self.store.head(&self.path(name)?).await {
            Ok(meta) => Ok(Some(meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).tried(|| format!("look for \"{}\"", self.url(name))),
        }
    }

    /// Begins to store a file. The ticket is for [`Self::upload`], and for [`Self::abort`] after a crash.
    pub async fn begin(&self, name: &str) -> Result<String, BackupError> {
        match &self.bucket {
            Some(bucket) => {
                let begun = bucket.create_multipart(&self.path(name)?).await;
                begun.tried(|| format!("begin to store \"{}\"", self.url(name)))
            }
            None => Ok("#".to_owned()),
        }
    }

    /// Takes away what was stored under a ticket and is not whole; that there is nothing is no error.
    pub async fn abort(&self, name: &str, ticket: &str) -> Result<(), BackupError> {
        let what = || format!("take away what is left of an upload of \"{}\"", self.url(name));
        if let Some(bucket) = &self.bucket {
            return match bucket.abort_multipart(&self.path(name)?, &ticket.to_owned()).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
                Err(error) => Err(error).tried(what),
            };
        }
        // A folder's store writes to `NAME#1` and so on until a file is whole.
        let whole = FilePath::new("/").join(name);
        let (Some(folder), Some(file)) = (whole.parent(), whole.file_name()) else { return Ok(()) };
        let begins = format!("{}#", file.to_string_lossy());
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let number = entry.file_name().to_string_lossy().strip_prefix(&begins).map(str::to_owned);
            if number.is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())) {
                std::fs::remove_file(entry.path()).tried(what)?;
            }
        }
        Ok(())
    }

    /// Stores a file. It is seen when it is whole, not before.
    pub async fn upload(&self, name: &str, ticket: &str, file: &FilePath) -> Result<(), BackupError> {
        let what = || format!("store \"{}\"", self.url(name));
        let mut from = tokio::fs::File::open(file).await.tried(what)?;
        let Some(bucket) = &self.bucket else { return self.write(name, from).await };
        let (path, ticket) = (self.path(name)?, ticket.to_owned());
        // There may be so many parts, not more.
        let length = PART.max(from.metadata().await.tried(what)?.len() / MOST_PARTS + 1);
        let mut parts = Vec::new();
        loop {
            let mut part = Vec::new();
            (&mut from).take(length).read_to_end(&mut part).await.tried(what)?;
            if part.is_empty() && !parts.is_empty() {
                break;
            }
            let payload = PutPayload::from(part);
            parts.push(bucket.put_part(&path, &ticket, parts.len(), payload).await.tried(what)?);
        }
        bucket.complete_multipart(&path, &ticket, parts).await.map(drop).tried(what)
    }

    async fn write(&self, name: &str, mut from: tokio::fs::File) -> Result<(), BackupError> {
        let what = || format!("store \"{}\"", self.url(name));
        let upload = self.store.put_multipart(&self.path(name)?).await.tried(what)?;
        let mut upload = WriteMultipart::new(upload);
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let length = from.read(&mut buffer).await.tried(what)?;
            if length == 0 {
                return upload.finish().await.map(drop).tried(what);
            }
            upload.wait_for_capacity(PARTS_AT_ONCE).await.tried(what)?;
            upload.write(&buffer[..length]);
        }
    }

    /// Stores a few bytes.
    pub async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<(), BackupError> {
        let put = self.store.put(&self.path(name)?, PutPayload::from(bytes)).await;
        put.map(drop).tried(|| format!("store \"{}\"", self.url(name)))
    }

    /// A small object, if it is there.
    pub async fn get(&self, name: &str) -> Result<Option<Bytes>, BackupError> {
        let what = || format!("read \"{}\"", self.url(name));
        match self.store.get(&self.path(name)?).await {
            Ok(found) if found.meta.size > SMALL => Err(BackupError(format!("\"{}\" is no manifest", self.url(name)))),
            Ok(found) => found.bytes().await.map(Some).tried(what),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).tried(what),
        }
    }

    /// Reads an object into a file, piece by piece past `seen`.
    pub async fn download(&self, name: &str, to: &FilePath, mut seen: impl FnMut(&[u8])) -> Result<u64, BackupError> {
        let what = || format!("read \"{}\"", self.url(name));
        let mut pieces = self.store.get(&self.path(name)?).await.tried(what)?.into_stream();
        let mut file = tokio::fs::File::create(to).await.tried(what)?;
        let mut size = 0;
        while let Some(piece) = pieces.next().await {
            let piece = piece.tried(what)?;
            seen(&piece);
            size += piece.len() as u64;
            file.write_all(&piece).await.tried(what)?;
        }
        file.flush().await.tried(what)?;
        Ok(size)
    }

    /// The names in a folder (with its `/`; empty: all), also in folders below.
    pub async fn names(&self, folder: &str) -> Result<Vec<String>, BackupError> {
        let prefix = (!folder.is_empty()).then(|| self.path(folder.trim_end_matches('/'))).transpose()?;
        let listed = self.store.list(prefix.as_ref()).map_ok(|meta| meta.location.to_string()).try_collect().await;
        match listed {
            Ok(names) => Ok(names),
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error).tried(|| format!("list \"{}\"", self.url(folder))),
        }
    }

    /// Deletes an object; one that is gone is no error.
    pub async fn delete(&self, name: &str) -> Result<(), BackupError> {
        match self.store.delete(&self.path(name)?).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error).tried(|| format!("delete \"{}\"", self.url(name))),
        }
    }
}
