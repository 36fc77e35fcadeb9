//! `release:`. Makes and pushes an annotated tag.

use crate::model::Node;

use super::settings::Reader;

/// The settings of `release`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Release {}

impl Release {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(_reader: &mut Reader<'_>, _node: &Node) -> Option<Self> {
        Some(Self::default())
    }
}
