"""From the text of a spec to a value, or to every error in it. Pure."""

from reconciler.spec.load import load_spec

__all__ = ["load_spec"]
