//! Workflow commands on standard output (`::error::`, `::add-mask::`): runners.md 3.7.
