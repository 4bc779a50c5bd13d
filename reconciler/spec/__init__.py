"""From the text of a spec to a value, or to every error in it."""
