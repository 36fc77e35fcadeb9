//! Backups: what `backup` does.
