"""What text shows of a plan's changes, in parts that stand at different places."""

from msgspec import Struct

from reconciler.render.style import paint


class ShownChanges(Struct, frozen=True, kw_only=True):
    """Lines, by what they are about.

    `lost` are the changes that end a machine, `losses` names these once more where they may be overlooked.
    """

    lost: tuple[str, ...] = ()
    builds: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    lowered: tuple[str, ...] = ()
    losses: tuple[str, ...] = ()


def painted(lines: list[str], symbol: str, color: bool) -> list[str]:
    """Return the lines in the colour of the symbol."""
    return [paint(line, symbol, color=color) for line in lines]
