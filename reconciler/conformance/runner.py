"""Make the app, run all probes one after the other, and always delete the app."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from reconciler.conformance.laboratory import Laboratory
from reconciler.conformance.new_app import NewApp
from reconciler.conformance.probe import DiffersError, Probe, UntriedError
from reconciler.errors import ApiError, ReconcilerError
from reconciler.model.conformance import Conformance, ProbeResult, Verdict

_LOST_AFTER: Final = 3  # probes in a row that get no answer


class _Ended(NamedTuple):
    """The result of a probe; `is_unanswered`: a call of it got no answer."""

    result: ProbeResult
    is_unanswered: bool


class Stop:
    """Lets the probes end early, so that what was made is deleted."""

    def __init__(self) -> None:
        self.has_begun: bool = False
        self.is_set: bool = False
        self._probing: asyncio.Task[_Ended] | None = None

    def interrupt(self) -> None:
        """End the probe under way, and begin no other."""
        self.is_set = True
        if self._probing:
            self._probing.cancel()

    async def watch(self, probing: "asyncio.Task[_Ended]") -> "_Ended | None":
        """Return how the probe ended; None if `interrupt` ended it."""
        self._probing = probing
        try:
            await asyncio.wait({probing})
        finally:
            self._probing = None
            probing.cancel()
        return None if probing.cancelled() else probing.result()


async def conform(
    lab: Laboratory,
    app: NewApp,
    probes: Sequence[Probe],
    stop: Stop,
    *,
    key: str,
    on_end: Callable[[ProbeResult], None],
) -> Conformance:
    """Return what the probes have seen. Raises ReconcilerError if no app can be made.

    A cancellation ends this at once: `app.may_exist` then says whether something may be left.
    """
    began = lab.clock.monotonic()
    results: list[ProbeResult] = []
    failures: list[str] = []
    stop.has_begun = True
    try:
        lab.creation = app.body(key=key)
        await app.make(key=key)
        try:
            await app.until_known()
            failures += await _try_all(lab, probes, stop, results, on_end)
        except ReconcilerError as error:
            failures.append(str(error))
    finally:
        left = await _cleaned_up(app)
    return Conformance(
        url=app.api.base_url,
        app=app.name,
        results=tuple(results),
        machines=lab.made,
        duration_s=lab.clock.monotonic() - began,
        is_interrupted=stop.is_set,
        failures=tuple(failures),
        left=left,
    )


async def _cleaned_up(app: NewApp) -> tuple[str, ...]:
    """Delete the app if it is ours, unless this very command is being given up."""
    task = asyncio.current_task()
    if not app.is_ours or (task and task.cancelling()):
        return ()
    return await app.delete()


async def _try_all(
    lab: Laboratory,
    probes: Sequence[Probe],
    stop: Stop,
    results: list[ProbeResult],
    on_end: Callable[[ProbeResult], None],
) -> list[str]:
    """Run the probes, and add their results. Return why not all were tried."""
    unanswered = 0
    for probe in probes:
        if stop.is_set:
            break
        ended = await stop.watch(asyncio.ensure_future(_tried(lab, probe)))
        if ended is None:
            break
        results.append(ended.result)
        on_end(ended.result)
        unanswered = unanswered + 1 if ended.is_unanswered else 0
        if unanswered == _LOST_AFTER:
            return [f"the server does not answer any more: {len(probes) - len(results)} probes were not tried"]
    return []


async def _tried(lab: Laboratory, probe: Probe) -> _Ended:
    """Return how the probe ended, whatever happens in it."""
    verdict, is_unanswered = Verdict.UNTRIED, False
    try:
        async with asyncio.timeout(probe.bound_s):
            seen = await probe.attempt(lab)
        verdict = Verdict.HOLDS
    except DiffersError as error:
        verdict, seen = Verdict.DIFFERS, str(error)
    except UntriedError as error:
        seen = str(error)
    except TimeoutError:
        seen = f"it did not end within {probe.bound_s:g} s"
    except ApiError as error:
        seen, is_unanswered = str(error), True
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        verdict, seen = Verdict.DIFFERS, f"an answer is not of the documented shape: {lab.api.shown(repr(error))}"
    result = ProbeResult(
        name=probe.name,
        group=probe.group,
        assumes=probe.assumes,
        calls=probe.calls,
        verdict=verdict,
        seen=lab.api.shown(seen),
    )
    return _Ended(result, is_unanswered)
