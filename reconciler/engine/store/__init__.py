"""Store the engine's records: SQLite, logs, retention."""
