"""Machine configs: their schema, what they say, and how Fly gives them back."""
