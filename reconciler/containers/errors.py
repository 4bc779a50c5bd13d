"""What goes wrong with a container engine."""


class ContainerError(Exception):
    """The engine refused a call, or does not answer. `status` is its HTTP status, None without an answer."""

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
