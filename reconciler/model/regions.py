"""The regions of the platform, by a dated list."""

from typing import Final

LISTED_IN: Final = "September 2026"
LISTED: Final = frozenset(  # source: Fly's documentation
    {"ams", "arn", "bom", "cdg", "dfw", "ewr", "fra", "gru", "iad"}
    | {"jnb", "lax", "lhr", "nrt", "ord", "sin", "sjc", "syd", "yyz"}
)
# Codes that the platform had before, each with the region of today that is nearest.
GIVEN_UP: Final = {
    **dict.fromkeys(("atl", "bog", "mia", "vin"), "iad"),
    **dict.fromkeys(("den", "gdl", "qro"), "dfw"),
    **dict.fromkeys(("eze", "gig", "scl"), "gru"),
    **dict.fromkeys(("hkg", "maa"), "sin"),
    **dict.fromkeys(("otp", "waw"), "fra"),
    "bos": "ewr",
    "mad": "cdg",
    "phx": "lax",
    "sea": "sjc",
    "yul": "yyz",
}
