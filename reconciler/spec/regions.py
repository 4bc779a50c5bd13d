"""The platform's regions as a dated list: what is known without asking it."""

from collections.abc import Collection
from typing import Final

LISTED_IN: Final = "September 2026"
LISTED: Final = frozenset(  # source: Fly's documentation
    {"ams", "arn", "bom", "cdg", "dfw", "ewr", "fra", "gru", "iad"}
    | {"jnb", "lax", "lhr", "nrt", "ord", "sin", "sjc", "syd", "yyz"}
)


def nearest_region(region: str, known: Collection[str] = LISTED) -> str | None:
    """Return the known region that is spelled most like `region`; None if none is."""
    import difflib  # only for a misspelt region

    return next(iter(difflib.get_close_matches(region, sorted(known), n=1, cutoff=0.6)), None)
