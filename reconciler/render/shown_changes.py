"""The parts of a plan's text that are about its changes.

They stand at different places of the text. `change_lines.py` makes them, and `text.py` puts them into the text. A plan
without changes needs neither the first nor what it imports.
"""

from msgspec import Struct


class ShownChanges(Struct, frozen=True, kw_only=True):
    """Lines, by what they are about.

    `lost` are the changes that end a machine. `losses` names these once more where other changes may hide them.
    """

    lost: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    lowered: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()
