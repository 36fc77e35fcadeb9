//! What stands beside a backup and says that it is whole.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// The file `<name>.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Of this form; readers refuse a later one.
    pub version: u32,
    /// The database's name.
    pub database: String,
    /// When the dump began.
    pub created: Timestamp,
    /// The run that made it.
    pub run: String,
    /// The commit of the run.
    pub commit: String,
    /// Bytes of the object.
    pub size: u64,
    /// SHA-256 of the object, in hexadecimal digits.
    pub sha256: String,
    /// `gzip`, `zstd` or `none`.
    pub compress: String,
    /// Which key it is encrypted under; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Tables, when they could be counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tables: Option<u64>,
    /// Rows of all tables; none where the database was written to meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// What made it.
    pub tool: String,
}

impl Manifest {
    /// The form that is written.
    pub const VERSION: u32 = 1;
    /// What its name ends in.
    pub const ENDING: &str = ".json";
}
