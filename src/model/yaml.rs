//! The only file that names the YAML crate: text to `Node`, with budgets.
