//! To be written by the room's owner.
