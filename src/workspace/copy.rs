//! Copies of checkouts.
