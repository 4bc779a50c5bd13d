"""Turn values into text and JSON. Pure, and no env value is shown."""
