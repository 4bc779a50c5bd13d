"""Decide what happens to one slot: the first rule of a table that applies wins."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, NamedTuple

from msgspec import Struct

from reconciler.canonical.digest import DesiredDigest, scheme_of
from reconciler.model import marks
from reconciler.model.change import Action, Cause, FieldChange, ReasonCode
from reconciler.model.crashes import exit_words, is_cut, recent_crash, restarts_in
from reconciler.model.image import reference
from reconciler.model.kind import is_of_other_kind, kind_of
from reconciler.model.machine import Exit, Machine, MachineState
from reconciler.model.spec import Pool, PoolKind

_SHOWN_FIELDS: Final = 4


class Situation(Struct, frozen=True, kw_only=True):
    """One slot of the spec, its machine as seen `at`, and how their configs differ.

    `lost` is the digest that was applied to a machine that is no longer there.
    """

    pool: Pool
    region: str
    desired_digest: DesiredDigest
    machine: Machine | None
    at: datetime
    fields: tuple[FieldChange, ...] = ()
    lost: str | None = None

    @property
    def applied(self) -> str | None:
        return self.machine.metadata.get(marks.APPLIED) if self.machine else None

    @property
    def is_stale(self) -> bool:
        """Return whether what was applied is not what is declared now.

        Only digests of one scheme tell.
        """
        applied = self.applied
        if self.machine is None or applied is None:
            return applied is None
        if self.desired_digest.is_told_by(applied, live=self.machine.config):
            return False
        return scheme_of(applied) == scheme_of(self.desired_digest.text)


class Rule(Struct, frozen=True, kw_only=True):
    """One row of the table. Rows are tried in order until one `applies`.

    `code` and `reason` say the cause.
    """

    applies: Callable[[Situation], bool]
    action: Action
    code: ReasonCode | Callable[[Situation], ReasonCode]
    reason: Callable[[Situation], str]


class Decision(NamedTuple):
    """What happens to a slot, and why: as a value and in words."""

    action: Action
    code: ReasonCode
    reason: str


def decide_action(situation: Situation) -> Decision:
    """Return the action on the slot, and its reason."""
    rule = next(rule for rule in RULES if rule.applies(situation))
    code = rule.code if isinstance(rule.code, ReasonCode) else rule.code(situation)
    return Decision(rule.action, code, rule.reason(situation))


def _is_missing(situation: Situation) -> bool:
    return situation.machine is None


def _code_of_missing(situation: Situation) -> ReasonCode:
    return ReasonCode.MISSING if situation.lost is None else ReasonCode.DESTROYED


def _why_it_is_missing(situation: Situation) -> str:
    return "not there" if situation.lost is None else "not there any more: it was applied, and destroyed since"


def _is_elsewhere(situation: Situation) -> bool:
    assert situation.machine is not None
    return situation.machine.region != situation.region


def _has_other_volume(situation: Situation) -> bool:
    """Return whether the volume differs, which no update can change."""
    return any(
        field.path == "mounts" or (field.path.startswith("mounts[") and field.path.endswith((".volume", "]")))
        for field in situation.fields
    )


def _differs(situation: Situation) -> bool:
    return bool(situation.fields) or situation.is_stale


def _is_other_kind(situation: Situation) -> bool:
    """Return whether the pool moved from `tasks` to `services` or back.

    That need not show in the config, and must be on the machine.
    """
    assert situation.machine is not None
    return is_of_other_kind(situation.machine, situation.pool.kind)


def _is_of_other_pool(situation: Situation) -> bool:
    """Return whether the machine's marks name another pool.

    So it is if its name has moved in `slots`.

    An invoke finds the machines of a task by that mark. One that is absent is no difference.
    """
    assert situation.machine is not None
    return situation.machine.metadata.get(marks.POOL, situation.pool.name) != situation.pool.name


def _pool_before(situation: Situation) -> str:
    assert situation.machine is not None
    return situation.machine.metadata[marks.POOL]


def should_run(situation: Situation) -> bool:
    """Return whether a service's machine rests that should be running."""
    assert situation.machine is not None
    if situation.pool.kind is not PoolKind.SERVICE or not situation.machine.state.is_resting:
        return False
    return not situation.pool.config.may_rest or _gave_up(situation)


def _gave_up(situation: Situation) -> bool:
    """Return whether a machine that may rest failed instead.

    It ended with an error, or could not be started.
    """
    assert situation.machine is not None
    ended, state = crash_of(situation), situation.machine.state
    is_error = ended is not None and ended.is_known and bool(ended.code or ended.signal or ended.oom_killed)
    return state is MachineState.FAILED or (state is MachineState.STOPPED and is_error)


def crash_of(situation: Situation) -> Exit | None:
    """Return how a service's machine ended that does not stay up.

    None if it does, or if that is not watched.
    """
    machine, min_healthy_s = situation.machine, situation.pool.rollout.min_healthy_s
    if machine is None or situation.pool.kind is not PoolKind.SERVICE or min_healthy_s <= 0:
        return None
    return recent_crash(machine.events, at=situation.at, min_healthy_s=min_healthy_s)


def _keeps_crashing(situation: Situation) -> bool:
    assert situation.machine is not None
    return not situation.machine.state.is_resting and crash_of(situation) is not None


def _why_it_is_watched(situation: Situation) -> str:
    ended = crash_of(situation)
    assert ended is not None
    assert situation.machine is not None
    restarts = restarts_in(situation.machine.events)
    at_least = "at least " if is_cut(situation.machine.events) else ""
    often = f"{at_least}{'once' if restarts == 1 else f'{restarts} times'}"
    again = f"restarted {often}" if restarts else "and was started again"
    return f"does not stay up: {exit_words(ended)}, {again}"


def _code_of_difference(situation: Situation) -> ReasonCode:
    causes = {field.cause for field in situation.fields}
    is_drift, is_spec = Cause.DRIFT in causes, bool(causes & {Cause.SPEC, Cause.IMAGE})
    if Cause.BOTH in causes or (is_drift and is_spec):
        return ReasonCode.SPEC_AND_DRIFT
    if is_drift:
        return ReasonCode.DRIFT
    if is_spec:
        return ReasonCode.SPEC if Cause.SPEC in causes else ReasonCode.IMAGE
    return ReasonCode.INCOMPLETE


def _why_it_differs(situation: Situation) -> str:
    spec, theirs, both = (_names(situation.fields, cause) for cause in (Cause.SPEC, Cause.DRIFT, Cause.BOTH))
    moved = next((_why_it_moved(field) for field in situation.fields if field.cause is Cause.IMAGE), "")
    whose = f"changed by someone else: {theirs}{_by_whom(situation.machine)}" if theirs else ""
    mixed = f"the spec and someone else changed: {both}{'' if theirs else _by_whom(situation.machine)}" if both else ""
    declared = f"the spec changed: {spec}" if situation.applied else f"differs from the spec: {spec}"
    if spec or whose or mixed or moved:
        return "; ".join(part for part in (declared if spec else "", moved, mixed, whose) if part)
    return "the spec changed in what does not show on the machine" if situation.applied else "was never applied whole"


def _why_it_moved(field: FieldChange) -> str:
    before, after = reference(str(field.observed)), reference(str(field.desired))
    assert before
    assert after
    if after.is_content:
        return f"the content of the image changed: it is {_short(after.tag)} now, and was {_short(before.tag)}"
    was = f", and was {_short(before.digest)}" if before.digest else ", and was not named by its digest"
    return f"the image moved: {after.tagged} is {_short(after.digest)} now{was}"


def _short(digest: str | None) -> str:
    """Return the first digits of a digest, or of the tag of a content."""
    return (digest or "")[: len("sha256:") + 12]


def _by_whom(machine: Machine | None) -> str:
    """Say who changed the machine last, and when, if its events or marks show it.

    The marks may be those of other tools.
    """
    assert machine is not None
    update = next((event for event in machine.events if event.type == "update"), None)
    tool = machine.metadata.get("fly_flyctl_version")
    told = [f"flyctl {tool}"] if tool else []
    told += [f"the last update was by {update.source}, {update.at:%Y-%m-%d %H:%M} UTC"] if update else []
    return f" ({'; '.join(told)})" if told else ""


def _names(fields: tuple[FieldChange, ...], cause: Cause) -> str:
    names = [field.path for field in fields if field.cause is cause]
    more = f" and {len(names) - _SHOWN_FIELDS} more" if len(names) > _SHOWN_FIELDS else ""
    return ", ".join(names[:_SHOWN_FIELDS]) + more


def _why_it_should_run(situation: Situation) -> str:
    assert situation.machine is not None
    ended = crash_of(situation)
    why = f": {exit_words(ended)}" if ended else ""
    return f"{situation.machine.state.value}, should be running{why}"


RULES: Final = (
    Rule(applies=_is_missing, action=Action.CREATE, code=_code_of_missing, reason=_why_it_is_missing),
    Rule(
        applies=_is_elsewhere,
        action=Action.REPLACE,
        code=ReasonCode.REGION,
        reason=lambda _: "region cannot be changed by an update",
    ),
    Rule(
        applies=_has_other_volume,
        action=Action.REPLACE,
        code=ReasonCode.VOLUME,
        reason=lambda _: "mounts cannot be changed by an update",
    ),
    Rule(
        applies=_is_of_other_pool,
        action=Action.UPDATE,
        code=ReasonCode.POOL,
        reason=lambda one: f"moved here from pool {_pool_before(one)}",
    ),
    Rule(applies=_differs, action=Action.UPDATE, code=_code_of_difference, reason=_why_it_differs),
    Rule(
        applies=_is_other_kind,
        action=Action.UPDATE,
        code=ReasonCode.KIND,
        reason=lambda one: f"declared as a {one.pool.kind.value} now",
    ),
    Rule(applies=should_run, action=Action.START, code=ReasonCode.NOT_RUNNING, reason=_why_it_should_run),
    Rule(applies=_keeps_crashing, action=Action.WATCH, code=ReasonCode.CRASHING, reason=_why_it_is_watched),
    Rule(
        applies=lambda _: True,
        action=Action.NONE,
        code=ReasonCode.AS_DECLARED,
        reason=lambda _: "as declared",
    ),
)


def deferral(kind: PoolKind, action: Action, machine: Machine | None) -> str | None:
    """Say why the action must wait: a run in progress; None if it need not.

    A machine that settles is waited for instead. `kind` is the pool's in the spec; what runs is what the machine was
    applied as.
    """
    if (
        machine is None
        or kind_of(machine, declared=kind) is PoolKind.SERVICE
        or action not in {Action.UPDATE, Action.REPLACE, Action.DESTROY, Action.ADOPT, Action.RELEASE}
    ):
        return None
    if machine.state.is_resting or machine.state.is_settling or machine.state.is_gone:
        return None
    start = next((event for event in machine.events if event.type == "start"), None)
    since = f" since {datetime.fromtimestamp(start.timestamp_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}" if start else ""
    return f"busy: a run is in progress{since}"
