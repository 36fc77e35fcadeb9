//! Jobs in containers.
