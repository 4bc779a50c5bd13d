"""Known tokens are concealed in all that the command writes, whatever way they came into it."""

from typing import TYPE_CHECKING

from reconciler.cli import streams

if TYPE_CHECKING:
    from reconciler.model.concealment import Concealment
    from reconciler.model.secret import Secret


def current() -> "Concealment":
    """What the running command conceals."""
    return streams.current().known


def learn(token: "Secret | None") -> None:
    """Conceals a token that was found elsewhere than in the environment."""
    if token:
        current().add(token.reveal())
