"""The error of an update, apart from what updates: an invoke seldom does."""

from reconciler.errors import ReconcilerError


class UpdateFailedError(ReconcilerError):
    """The update of a machine was accepted, and then reverted or not applied."""
