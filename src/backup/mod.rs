//! Backups: what `backup` does, and what `slipway backup` does with what it left.
//!
//! ```text
//! pg_dump > file > compress > AES-256-GCM in chunks > file, sha256 > upload > manifest > read back, verify > retention
//! ```
//!
//! A backup is an object and, beside it, its manifest (`<name>.json`), written last: what has no manifest is no backup. Objects
//! appear whole or not at all, and are never overwritten.

mod error;
mod manifest;
mod pack;
mod place;
mod postgres;
mod retention;
mod seal;
mod stored;
mod task;
mod template;
mod verify;

pub use error::BackupError;
pub use manifest::Manifest;
pub use pack::{Packed, pack};
pub use place::Place;
pub use postgres::Connection;
pub use retention::expired;
pub use seal::{Key, Opener, Sealer};
pub use stored::{Stored, fetch, list, unpack_to};
pub use task::BackupTask;
pub use template::Template;
