"""Where a plan holds: what the first line of each plan and prompt says."""

from msgspec import Struct


class Scope(Struct, frozen=True, kw_only=True):
    """A stack, its spec's file, and the target.

    `target` is fly, local, or the URL of an API, None for what is offline. `orgs` are the organisations in which the
    spec's apps are, or are created. `before` is, for two specs that are compared, the file of the first.
    """

    stack: str
    spec: str
    overlays: tuple[str, ...] = ()  # the files that lie over it
    target: str | None = None
    orgs: tuple[str, ...] = ()
    environment: str | None = None
    before: str | None = None
