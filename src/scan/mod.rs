//! Scanners: what `scan` does. One model of findings.
