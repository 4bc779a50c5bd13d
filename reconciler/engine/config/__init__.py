"""Machine configs in the engine: their schema, defaults, regions."""
