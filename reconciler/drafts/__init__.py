"""Drafts of a spec: what `init` and `import` write for people to keep."""
