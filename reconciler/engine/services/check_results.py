"""Keep the newest results of the health checks of machines."""

from collections.abc import Callable, Iterable, Mapping

from reconciler.engine.models import CheckResult, Machine


class CheckResults:
    """The results of all machines.

    `notify` is called with the id of each machine that has a new one.
    """

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._found: dict[str, dict[str, CheckResult]] = {}

    def of(self, machine: Machine) -> Mapping[str, CheckResult] | None:
        """Return the machine's results by name of the check.

        None where no checks are made.
        """
        return self._found.get(machine.id)

    def begin(self, machine: Machine, names: Iterable[str], first: CheckResult) -> None:
        """Begin with these checks; each has the result `first` until it is made."""
        self._found[machine.id] = dict.fromkeys(names, first)

    def put(self, machine: Machine, name: str, result: CheckResult) -> None:
        """Keep a check's new result."""
        if machine.id in self._found:
            self._found[machine.id][name] = result
            self._notify(machine.id)

    def end(self, machine: Machine) -> None:
        """Drop the results of a machine that has stopped."""
        self._found.pop(machine.id, None)
