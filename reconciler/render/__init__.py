"""Values to text and JSON. Pure: nothing here prints, and nothing here shows an env value."""
