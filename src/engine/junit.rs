//! JUnit XML, read for its totals.
