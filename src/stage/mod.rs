//! The typed stages: one file a key. Until they are built they are read and refused by name.
