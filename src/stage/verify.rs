//! `verify:`. Checks that what was deployed works.

use crate::model::Node;

use super::settings::Reader;

/// The settings of `verify`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verify {}

impl Verify {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(_reader: &mut Reader<'_>, _node: &Node) -> Option<Self> {
        Some(Self::default())
    }
}
