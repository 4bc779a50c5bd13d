"""What one run of a task may be: how long, and what it may change.

It is known from the spec, and without a spec from a mark.
"""

from typing import Final

from msgspec import Struct, field

from reconciler.hidden import HidesFields

OVERRIDES_ARGS: Final = "overrides.args"  # what a plan calls the change of `args_after`
ARGS_PLACE: Final = "after "  # begins what a plan says of `args_after`, where a run may have args of its own
_SEPARATOR: Final = ";"
MAX_LENGTH: Final = 200
LONGEST_S: Final = 876_000 * 3600  # a hundred years: no date that far away is beyond a calendar


class RunPolicy(Struct, frozen=True, kw_only=True):
    """The run policy of a task.

    `timeout_s` None is without end. `args_after` is how many words of the command stay before the args of one run; None
    if a run may have no args of its own. `env` names the variables that a run may set.
    """

    timeout_s: float | None = None
    args_after: int | None = None
    env: frozenset[str] = field(default_factory=frozenset)

    def to_text(self) -> str:
        """Return the value of the mark `terms`."""
        timeout = "" if self.timeout_s is None else f"{self.timeout_s:g}"
        after = "" if self.args_after is None else str(self.args_after)
        return _SEPARATOR.join((timeout, after, ",".join(sorted(self.env))))


def parse_run_policy(text: str) -> RunPolicy | None:
    """Parse the mark `terms`; None if it is none."""
    fields = text.split(_SEPARATOR)
    if len(fields) != 3 or not all(character.isdecimal() for character in fields[1]) or len(fields[1]) > 9:
        return None
    try:
        timeout_s = float(fields[0]) if fields[0] else None
    except ValueError:
        return None
    if timeout_s is not None and not 0 < timeout_s <= LONGEST_S:
        return None
    return RunPolicy(
        timeout_s=timeout_s,
        args_after=int(fields[1]) if fields[1] else None,
        env=frozenset(name for name in fields[2].split(",") if name),
    )


class Override(HidesFields, frozen=True, kw_only=True):
    """What one run has of its own.

    `args` None are the task's own; the repr hides the values.
    """

    args: tuple[str, ...] | None = None
    env: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"Override(args={self.args is not None}, env={[name for name, _ in self.env]})"

    @property
    def is_any(self) -> bool:
        """Return whether anything is to be changed at all."""
        return self.args is not None or bool(self.env)


def objection_to(override: Override, policy: RunPolicy) -> str | None:
    """Say why the run policy does not allow the override; None if it does."""
    if override.args is not None and policy.args_after is None:
        return "its runs may have no args of their own"
    refused = sorted({name for name, _ in override.env} - policy.env)
    if refused:
        return f"its runs may not set {', '.join(refused)}"
    return None
