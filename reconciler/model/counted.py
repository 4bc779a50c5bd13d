"""Spell a count with its noun."""


def counted(count: int, noun: str) -> str:
    """Return the count and the noun, in the plural unless there is one: `2 machines`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
