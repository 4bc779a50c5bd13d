"""Try once to claim a machine that seems free; decide whether waiting can help."""

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from reconciler.errors import ApiError, LeaseLostError
from reconciler.invoke.claim import claim
from reconciler.invoke.claim_request import (
    Claim,
    Claimant,
    Refusal,
    Unconfirmed,
    candidates,
    objection,
    out_of_reach,
    refusal_of,
)
from reconciler.invoke.outcome import never_started, refused
from reconciler.invoke.start_deadline import StartDeadline
from reconciler.model.run import Outcome
from reconciler.slots.wait import read_machine

if TYPE_CHECKING:
    from reconciler.invoke.runs import FoundRun

_CANDIDATES_PER_ROUND: Final = 2
_BROKEN_TRIES: Final = 3


class Tries(Struct, kw_only=True):
    """The tries of one claimant.

    `refused` has by machine id why it was not claimed last.
    """

    claimant: Claimant
    start: StartDeadline
    refused: dict[str, Refusal] = field(default_factory=dict)
    broken: int = 0  # rounds in which no machine would start


async def try_free(tries: Tries, *, has_waited: bool) -> "Claim | FoundRun | Unconfirmed | Outcome | None":
    """Try the machines that seem free. Return None if waiting for one may help."""
    claimant, known = tries.claimant, tries.claimant.known
    if ended := out_of_reach(claimant):
        return ended
    if ended := objection(claimant):
        return ended
    if ended := tries.start.ended:
        return ended
    tried = await tries.start.bound(_try_keyed(tries, has_waited=has_waited) if claimant.key else _try_round(tries))
    if tried is not None:
        return tried
    refusals = list(tries.refused.values())
    if final := next((refusal for refusal in refusals if refusal.is_final), None):
        return never_started(final.why, cause=final.cause)
    begun = [refusal for refusal in refusals if refusal.is_settling or refusal.is_broken]
    if known.busy or not begun:
        tries.start.forget()
    else:
        tries.start.last = begun[-1]
    if known.busy:
        return None
    if refusals and all(refusal.needs_apply for refusal in refusals) and len(refusals) >= len(known.machines):
        return refused(
            "no machine has the applied config, and this spec is not the one applied",
            remedy="run `reconciler apply` first",
        )
    if refusals and all(refusal.is_broken for refusal in refusals):
        tries.broken += 1
        if tries.broken >= _BROKEN_TRIES:
            return never_started(refusals[-1].why, cause=refusals[-1].cause)
    return None


async def _try_round(tries: Tries) -> Claim | None:
    """Try at most two machines; wait for the last one if it is still being prepared."""
    claimant, known = tries.claimant, tries.claimant.known
    free = [machine for machine in candidates(claimant) if machine.id not in tries.refused]
    chosen = free[:_CANDIDATES_PER_ROUND]
    for machine in chosen:
        with claimant.known.trying(machine):
            try:
                claimed = await claim(claimant, machine, may_settle=machine is chosen[-1])
            except LeaseLostError as error:
                claimed = Refusal(why=error.message)
        if isinstance(claimed, Claim):
            return claimed
        if claimed.is_held:
            known.see_held(machine)
        tries.refused[machine.id] = claimed
    return None


async def _try_keyed(tries: Tries, *, has_waited: bool) -> "Claim | FoundRun | Outcome | None":
    from reconciler.invoke.idempotency import claim_keyed

    claimant, known = tries.claimant, tries.claimant.known
    try:
        if has_waited and known.anchor:
            known.see(await read_machine(claimant.context, known.anchor))
        tried = await claim_keyed(claimant)
    except LeaseLostError as error:
        tried = Refusal(why=error.message)
    except ApiError as error:
        tried = refusal_of(error)
    if not isinstance(tried, Refusal):
        return tried
    tries.refused = {machine.id: tried for machine in known.machines if machine.state.is_resting}
    return None
