"""Say which version of this package is installed."""


def tool_version() -> str:
    """Return the version of this package, as its metadata has it."""
    from importlib.metadata import version

    return version("machines-reconciler")
