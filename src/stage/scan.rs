//! `scan:`. Looks for leaked secrets and vulnerabilities.

use crate::model::Node;

use super::settings::Reader;

/// The settings of `scan`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scan {}

impl Scan {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(_reader: &mut Reader<'_>, _node: &Node) -> Option<Self> {
        Some(Self::default())
    }
}
