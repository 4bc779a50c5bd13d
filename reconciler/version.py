"""Say which version this is.

It is that of pyproject.toml, and `python tools/texts.py` writes it here: asking the metadata of the installed package
takes longer than `reconciler --version` may.
"""

VERSION = "0.7.0"
