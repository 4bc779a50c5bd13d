"""Stands for Django's manage.py, with one command of the app."""

import sys

if sys.argv[1:2] != ["import_orders"]:
    sys.exit(f"Unknown command: {' '.join(sys.argv[1:])!r}")
print(f"Imported 40 orders of {sys.argv[2]}.")
