"""The error of a container engine. Imports nothing."""


class ContainerError(Exception):
    """The engine refused a call, or did not answer.

    `status` is the HTTP status, None without an answer.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status
