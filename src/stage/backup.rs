//! `backup:`. Backs up a database.

use crate::model::Node;

use super::settings::Reader;

/// The settings of `backup`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Backup {}

impl Backup {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(_reader: &mut Reader<'_>, _node: &Node) -> Option<Self> {
        Some(Self::default())
    }
}
