"""The first lines of a draft: its schema for editors, and whence it is."""

from typing import Final

from reconciler.drafts.nodes import DraftMap

_SCHEMA: Final = "machines.schema.json"


def put_heading(draft: DraftMap, origin: str) -> None:
    """Add the first lines, with `origin` in words."""
    draft.say(f"yaml-language-server: $schema=./{_SCHEMA}")
    draft.say(f"Editors check and complete this file after: reconciler schema > {_SCHEMA}")
    draft.say(origin)
