//! The shim (being written).
#![allow(dead_code)]
mod protocol;
mod sys;
fn main() {}
