//! Backups as they lie in a place.

use std::path::Path;

use sha2::{Digest, Sha256};

use crate::stage::Compress;

use super::error::{BackupError, Tried};
use super::manifest::Manifest;
use super::pack::{hex, unpack};
use super::place::Place;
use super::seal::Key;

/// A backup.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// Its name in the place.
    pub name: String,
    /// What its manifest says; none where there is no readable one: then it is no backup, or one that is not whole.
    pub manifest: Option<Manifest>,
}

impl Manifest {
    /// The manifest beside `name`, if there is one.
    pub async fn beside(place: &Place, name: &str) -> Result<Option<Manifest>, BackupError> {
        let Some(bytes) = place.get(&format!("{name}{}", Manifest::ENDING)).await? else { return Ok(None) };
        let manifest: Manifest =
            serde_json::from_slice(&bytes).tried(|| format!("read the manifest of \"{}\"", place.url(name)))?;
        if manifest.version > Manifest::VERSION {
            let message = format!("the manifest of \"{}\" is of a later version of slipway", place.url(name));
            return Err(BackupError(message));
        }
        Ok(Some(manifest))
    }
}

/// The backups in a folder (with its `/`), oldest first; objects without a manifest are among them, at the end.
pub async fn list(place: &Place, folder: &str) -> Result<Vec<Stored>, BackupError> {
    let names = place.names(folder).await?;
    let mut all = Vec::new();
    for name in names.iter().filter(|name| !name.ends_with(Manifest::ENDING)) {
        // One that cannot be read is shown as what it is, and hides no other.
        let manifest = Manifest::beside(place, name).await.unwrap_or_default();
        all.push(Stored { name: name.clone(), manifest });
    }
    all.sort_by_key(|stored| {
        (stored.manifest.is_none(), stored.manifest.as_ref().map(|manifest| manifest.created), stored.name.clone())
    });
    Ok(all)
}

/// Reads a backup into `packed`, and checks size and sha256 on the way.
pub async fn fetch(place: &Place, name: &str, packed: &Path) -> Result<Manifest, BackupError> {
    let Some(manifest) = Manifest::beside(place, name).await? else {
        let message = format!("\"{}\" has no manifest: it is not whole, or no backup of slipway", place.url(name));
        return Err(BackupError(message));
    };
    let mut hash = Sha256::new();
    let size = place.download(name, packed, |piece| hash.update(piece)).await?;
    if size != manifest.size {
        let message = format!("\"{}\" has {size} bytes, and had {} when it was made", place.url(name), manifest.size);
        return Err(BackupError(message));
    }
    let sha256 = hex(&hash.finalize());
    if sha256 != manifest.sha256 {
        let message = format!("\"{}\" was changed since it was made: its sha256 is {sha256}", place.url(name));
        return Err(BackupError(message));
    }
    Ok(manifest)
}

/// Decrypts and decompresses what was fetched; gives the dump's size.
pub async fn unpack_to(
    manifest: &Manifest,
    key: Option<&Key>,
    packed: &Path,
    dump: Option<&Path>,
) -> Result<u64, BackupError> {
    let what = || format!("unpack the backup of \"{}\"", manifest.database);
    let key = match (&manifest.key, key) {
        (None, _) => None,
        (Some(_), Some(key)) => Some(key.clone()),
        (Some(id), None) => {
            return Err(BackupError(format!("the backup is encrypted under the key {id}, and no key was given")));
        }
    };
    let compress = match manifest.compress.as_str() {
        "gzip" => Compress::Gzip,
        "zstd" => Compress::Zstd,
        "none" => Compress::None,
        other => return Err(BackupError(format!("the manifest says \"{other}\", which is no way to compress"))),
    };
    let (packed, dump) = (packed.to_owned(), dump.map(Path::to_owned));
    let unpacked = tokio::task::spawn_blocking(move || match dump {
        Some(dump) => unpack(&packed, &mut std::fs::File::create(dump)?, compress, key.as_ref()),
        None => unpack(&packed, &mut std::io::sink(), compress, key.as_ref()),
    });
    unpacked.await.tried(what)?.tried(what)
}
