//! Outcomes that a test wrote down.
