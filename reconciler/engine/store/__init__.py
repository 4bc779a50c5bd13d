"""The engine's records: a SQLite database, the log, and what is retained."""
