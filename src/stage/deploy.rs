//! `deploy:`. Rolls out to Kubernetes and takes itself back.

use crate::model::Node;

use super::settings::Reader;

/// The settings of `deploy`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deploy {}

impl Deploy {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(_reader: &mut Reader<'_>, _node: &Node) -> Option<Self> {
        Some(Self::default())
    }
}

/// What a deploy leaves for later stages of the run.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Deployed {
    /// The application.
    pub app: String,
    /// The environment's name, where it has one.
    pub environment: Option<String>,
    /// The namespace of the application's lease and release records.
    pub namespace: String,
    /// `rolling`, `blue-green`, `canary`, or `first` (nothing was there before).
    pub strategy: String,
    /// The number of the release in the application's history, from 1.
    pub release: u64,
    /// The release before it.
    pub previous: Option<u64>,
    /// Images by container name, as they run now.
    pub images: Vec<(String, String)>,
    /// `deployed`, `rolled-back` or `paged`.
    pub result: String,
}
