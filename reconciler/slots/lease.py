"""Take, renew and release a lease on one machine: the only lock that there is.

Every guarded write asks the lease for its nonce, and gets it only if more time is left than the write may take. A lease
past our own deadline is lost for good, even if a late renewal succeeds: in between another process may have held it
(docs/explanation/protocols.md, section 1).
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Final

from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError, unexpected_words
from reconciler.model.machine import Lease
from reconciler.model.secret import Secret
from reconciler.slots.context import Context, new_ulid
from reconciler.slots.lease_description import describe, until_words, words_of

APPLY_TTL_S: Final = 60
CLAIM_TTL_S: Final = 30
CALL_TIMEOUT_S: Final = 10.0
START_TIMEOUT_S: Final = 15.0
_MARGIN_S: Final = 5.0  # an expired nonce may still be accepted: assumption A10
_ATTEMPTS: Final = 3
_RELEASE_TIMEOUT_S: Final = 5.0
_POLL_S: Final = 1.0
_GRANT_LOOKS_S: Final = (0.0, 1.0)


class HeldLease:
    """A lease that we hold. It ends by `release`, or when it is lost."""

    def __init__(
        self, context: Context, app: str, machine_id: str, lease: Lease, *, ttl_s: int, sent: "_Instant"
    ) -> None:
        self._context = context
        self._app = app
        self._machine_id = machine_id
        self._nonce = Secret(lease.nonce)
        self._ttl_s = ttl_s
        self._valid_from = self._granted = sent
        self._expires_at = lease.expires_at
        self._is_lost = False
        self._is_released = False
        self._is_write_unclear = False
        self._renewing: asyncio.Task[None] | None = None

    @property
    def server_time(self) -> datetime:
        """Return the time by the server's clock, which the end of the lease tells.

        By our own clock if the server does not tell that end.
        """
        if not self._expires_at.timestamp():
            return self._context.clock.now()
        elapsed_s = self._context.clock.monotonic() - self._granted.monotonic
        return self._expires_at + timedelta(seconds=elapsed_s - self._ttl_s)

    def guard(self, call_timeout_s: float = CALL_TIMEOUT_S) -> Secret:
        """Return the nonce for one write that takes at most `call_timeout_s`.

        Raises LeaseLostError if the lease is lost, or might be before the write has ended.
        """
        if self._is_released or self._is_lost or self._remaining_s() <= call_timeout_s:
            self._is_lost = True  # for good, even if a late renewal succeeds
            why = f"the lease on machine {self._machine_id} of {self._app} was lost"
            raise LeaseLostError(why, hint="run the command again: it reads the machine first")
        return self._nonce

    def doubt(self) -> None:
        """Note that a write was sent and its effect is unclear.

        The lease is then not released but left to expire, so that nobody else writes before its effect shows.
        """
        self._is_write_unclear = True

    def settle(self) -> None:
        """Note that the effect of the unclear write is known now."""
        self._is_write_unclear = False

    async def release(self) -> None:
        """Release the lease. Errors are ignored, as the lease expires by itself.

        A renewal under way is waited for first: if it arrived later, it would revive the lease.
        """
        if self._renewing and not self._renewing.done():
            await asyncio.wait({self._renewing}, timeout=0 if self._is_write_unclear else _RELEASE_TIMEOUT_S)
            if self._renewing.cancel():
                return
        if self._is_released or self._is_write_unclear:
            return
        self._is_released = True
        with suppress(ApiError, TimeoutError):
            async with asyncio.timeout(_RELEASE_TIMEOUT_S):
                await self._context.client.leases.release(self._app, self._machine_id, nonce=self._nonce)

    async def keep_renewed(self) -> None:
        """Renew the lease every third of its TTL until cancelled, released or lost."""
        while not (self._is_released or self._is_lost):
            await self._context.clock.sleep(self._ttl_s / 3)
            self._renewing = asyncio.ensure_future(self._renew())
            await asyncio.shield(self._renewing)  # a request that was sent cannot be cancelled

    async def _renew(self) -> None:
        if self._is_released or self._is_lost:
            return
        if self._remaining_s() <= 0:
            self._is_lost = True
            return
        sent = _Instant(self._context)
        try:
            await self._context.client.leases.renew(self._app, self._machine_id, nonce=self._nonce, ttl_s=self._ttl_s)
        except ApiError as error:
            if error.kind in {ApiErrorKind.LEASE_HELD, ApiErrorKind.LEASE_NOT_FOUND, ApiErrorKind.NOT_FOUND}:
                self._is_lost = True
            return
        if self._remaining_s() > 0 and not self._is_lost:
            self._valid_from = sent
        else:
            self._is_lost = True  # renewed too late: another process may have held the lease before that

    def _remaining_s(self) -> float:
        return self._ttl_s - _MARGIN_S - self._valid_from.age_s()


class _Instant:
    """A point in time on both clocks.

    The monotonic clock stops in a sleeping laptop; the wall clock jumps when it is corrected.
    """

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._wall: datetime = context.clock.now()
        self.monotonic = context.clock.monotonic()

    def age_s(self) -> float:
        return max(self._clock.monotonic() - self.monotonic, (self._clock.now() - self._wall).total_seconds())


@asynccontextmanager
async def hold_lease(
    context: Context, app: str, machine_id: str, *, verb: str, ttl_s: int, patience_s: float | None = None
) -> AsyncIterator[HeldLease]:
    """Hold a lease for the block: renew it meanwhile, release it at the end.

    It is released on cancellation too. If someone else holds the lease, try for `patience_s` seconds, then raise
    ApiError of kind LEASE_HELD, which names the holder. Without `patience_s` try once, and do not look up the holder.
    """
    lease = await _acquire_patiently(context, app, machine_id, verb=verb, ttl_s=ttl_s, patience_s=patience_s)
    renewal = asyncio.create_task(lease.keep_renewed())
    try:
        yield lease
    finally:
        renewal.cancel()
        await _finish(_end(context, renewal, lease))
    if not renewal.cancelled() and (bug := renewal.exception()):
        raise bug


async def _end(context: Context, renewal: asyncio.Task[None], lease: HeldLease) -> None:
    """Release the lease, whatever became of its renewal; report an error of that."""
    await asyncio.wait({renewal})
    await lease.release()
    if not renewal.cancelled() and (bug := renewal.exception()):
        context.emit(f"a lease could not be renewed: {unexpected_words(bug)}")


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Finish the work even if we are cancelled meanwhile; then be cancelled."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise


async def _acquire_patiently(
    context: Context, app: str, machine_id: str, *, verb: str, ttl_s: int, patience_s: float | None
) -> HeldLease:
    if patience_s is None:
        return await acquire_lease(context, app, machine_id, verb=verb, ttl_s=ttl_s)
    deadline = context.clock.monotonic() + patience_s
    told = False
    while True:
        try:
            async with asyncio.timeout(max(deadline - context.clock.monotonic(), CALL_TIMEOUT_S)):
                return await acquire_lease(context, app, machine_id, verb=verb, ttl_s=ttl_s)
        except TimeoutError as error:
            why = f"the lease on machine {machine_id} of {app} could not be requested: no usable answer in time"
            raise ApiError(why, kind=ApiErrorKind.UNREACHABLE) from error
        except ApiError as error:
            remaining_s = deadline - context.clock.monotonic()
            if error.kind is not ApiErrorKind.LEASE_HELD:
                raise
            if remaining_s <= 0:
                raise await _with_holder(context, app, machine_id, error) from error
            if not told:
                held = await _with_holder(context, app, machine_id, error)
                context.emit(f"{held.message}; waiting up to {patience_s:g} s")
                told = True
            await context.clock.sleep(min(_POLL_S, remaining_s))


async def acquire_lease(context: Context, app: str, machine_id: str, *, verb: str, ttl_s: int) -> HeldLease:
    """Take the lease; after a lost reply, read it to see whether it is ours.

    Its description tells, so the request can be repeated. Raises ApiError, of kind LEASE_HELD if someone else holds it.
    """
    description = describe(verb, new_ulid(context.clock.now()), context.who)
    last: ApiError | None = None
    for _ in range(_ATTEMPTS):
        sent = _Instant(context)
        try:
            lease = await context.client.leases.acquire(app, machine_id, ttl_s=ttl_s, description=description)
        except ApiError as error:
            if not error.is_unclear:
                raise
            last = error
            found = await _found(context, app, machine_id, description)
            if found is None:
                continue
            # The description tells whose it is: assumption A1.
            if found.description != description:
                raise _held_by_other(context, app, machine_id, found) from error
            lease = found
        except BaseException:
            await _finish(_give_back(context, app, machine_id, description))
            raise
        return HeldLease(context, app, machine_id, lease, ttl_s=ttl_s, sent=sent)
    assert last is not None
    raise last


async def _found(context: Context, app: str, machine_id: str, description: str) -> Lease | None:
    """Return the lease on the machine after a lost reply; None if there is none.

    If reading it fails, our own lease, if there is one, is released.
    """
    try:
        return await context.client.leases.get(app, machine_id)
    except BaseException:
        await _finish(_give_back(context, app, machine_id, description))
        raise


async def _give_back(context: Context, app: str, machine_id: str, description: str) -> None:
    """Release a lease that may have been granted without our knowledge.

    Errors are ignored, as the lease expires by itself.
    """
    with suppress(ApiError, TimeoutError):
        async with asyncio.timeout(_RELEASE_TIMEOUT_S):
            for pause_s in _GRANT_LOOKS_S:  # the request that we gave up may still be on its way
                await context.clock.sleep(pause_s)
                found = await context.client.leases.get(app, machine_id)
                if found is None:
                    continue
                if found.description == description:
                    await context.client.leases.release(app, machine_id, nonce=Secret(found.nonce))
                return


async def _with_holder(context: Context, app: str, machine_id: str, error: ApiError) -> ApiError:
    """Return the refusal, with the holder that the lease's description names.

    The server's own text names only the owner of the token.
    """
    lease = None
    with suppress(ApiError):
        lease = await context.client.leases.get(app, machine_id)
    if lease is None:
        return _held(app, machine_id, owner=error.held_by, until=error.held_until, now=context.clock.now())
    return _held_by_other(context, app, machine_id, lease)


def _held_by_other(context: Context, app: str, machine_id: str, lease: Lease) -> ApiError:
    by, now = words_of(lease.description), context.clock.now()
    return _held(app, machine_id, owner=lease.owner, until=lease.expires_at, now=now, by=by)


def _held(
    app: str, machine_id: str, *, owner: str | None, until: datetime | None, now: datetime, by: str = ""
) -> ApiError:
    said = f"machine {machine_id} of {app} is leased" + (f" by {owner}" if owner else "")
    said += (f" ({by})" if by else "") + (f" until {until_words(until, now=now)}" if until else "")
    return ApiError(said, kind=ApiErrorKind.LEASE_HELD, held_by=owner, held_until=until)
