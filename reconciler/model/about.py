"""An installation of this package: its version, and where its things are."""

from pathlib import Path

from msgspec import Struct


class About(Struct, frozen=True, kw_only=True):
    """The version, and what a report of a fault should name.

    `scheme` is that of the digests on machines. `spec` is None if there is none.
    """

    version: str
    python: str
    platform: str
    scheme: str
    package: Path
    engine_home: Path
    target: str
    spec: str | None
