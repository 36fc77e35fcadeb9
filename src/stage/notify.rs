//! `notify:`. Sends one message.

use crate::model::Node;

use super::settings::Reader;

/// The settings of `notify`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Notify {}

impl Notify {
    /// Reads the settings; what is wrong is reported, and then there is none.
    pub fn read(_reader: &mut Reader<'_>, _node: &Node) -> Option<Self> {
        Some(Self::default())
    }
}
