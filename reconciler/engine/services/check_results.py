"""What the health checks of machines found last."""

from collections.abc import Callable, Iterable, Mapping

from reconciler.engine.models import CheckResult, Machine


class CheckResults:
    """The reports of all machines; `notify` is told of a machine that has a new one."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        self._notify = notify
        self._found: dict[str, dict[str, CheckResult]] = {}

    def of(self, machine: Machine) -> Mapping[str, CheckResult] | None:
        """By the checks' names; None where nobody makes checks of it."""
        return self._found.get(machine.id)

    def begin(self, machine: Machine, names: Iterable[str], first: CheckResult) -> None:
        """These checks are made from now on, and until they are have the first report."""
        self._found[machine.id] = dict.fromkeys(names, first)

    def put(self, machine: Machine, name: str, report: CheckResult) -> None:
        if machine.id in self._found:
            self._found[machine.id][name] = report
            self._notify(machine.id)

    def end(self, machine: Machine) -> None:
        self._found.pop(machine.id, None)
