//! Notices to people: what `notify` does, the rules of a file, the outbox, incident reports.
