"""Values to text and JSON. Pure: nothing here prints."""
