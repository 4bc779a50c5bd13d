"""Read the text of a spec into a value, or find every error in it. Pure."""

from reconciler.spec.load import load_spec

__all__ = ["load_spec"]
