"""The only lock: a lease on one machine, held, renewed and released.

Every guarded write asks the lease for its nonce first, and gets it only while more time is left than the write may
take. A lease past our own deadline is lost for good, even if a late renewal then succeeds: others may have come and
gone in between.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Any, Final

from reconciler.errors import ApiError, ApiErrorKind, LeaseLostError, unexpected_words
from reconciler.model.machine import Lease
from reconciler.model.secret import Secret
from reconciler.slots.context import Context
from reconciler.slots.lease_description import describe, words_of
from reconciler.slots.ulid import new_ulid

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
    """A lease that we hold. Ends by `release`, or by being lost."""

    def __init__(
        self, context: Context, app: str, machine_id: str, lease: Lease, *, ttl_s: int, sent: "_Instant"
    ) -> None:
        self.version = lease.version
        self._context = context
        self._app = app
        self._machine_id = machine_id
        self._nonce = Secret(lease.nonce)
        self._ttl_s = ttl_s
        self._valid_from = sent
        self._is_lost = False
        self._is_released = False
        self._is_write_unclear = False
        self._renewing: asyncio.Task[None] | None = None

    def guard(self, call_timeout_s: float = CALL_TIMEOUT_S) -> Secret:
        """The nonce, for one write that takes at most `call_timeout_s`.

        Raises LeaseLostError where the lease is lost, or would be before such a write has ended.
        """
        if self._is_released or self._is_lost or self._remaining_s() <= call_timeout_s:
            self._is_lost = True  # for good: nothing takes this back, not even a late renewal
            raise LeaseLostError(f"the lease on machine {self._machine_id} of {self._app} was lost")
        return self._nonce

    def doubt(self) -> None:
        """A write was sent and its effect is not known: the lease is left to expire, so that nobody comes between."""
        self._is_write_unclear = True

    def settle(self) -> None:
        """The doubtful write has been explained."""
        self._is_write_unclear = False

    async def release(self) -> None:
        """Gives the machine free; errors are of no consequence, since the lease expires by itself.

        A renewal that is on its way would revive a lease that is released before: it is waited for.
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
        """Renews at a third of the TTL until cancelled, released or lost."""
        while not (self._is_released or self._is_lost):
            await self._context.clock.sleep(self._ttl_s / 3)
            self._renewing = asyncio.ensure_future(self._renew())
            await asyncio.shield(self._renewing)  # once it is sent, no cancellation takes it back

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
            self._is_lost = True  # it came too late: others may have come and gone before it

    def _remaining_s(self) -> float:
        return self._ttl_s - _MARGIN_S - self._valid_from.age_s()


class _Instant:
    """A point on both clocks: a sleeping laptop stops the monotonic one, a corrected clock moves the other."""

    def __init__(self, context: Context) -> None:
        self._clock = context.clock
        self._wall: datetime = context.clock.now()
        self._monotonic = context.clock.monotonic()

    def age_s(self) -> float:
        return max(self._clock.monotonic() - self._monotonic, (self._clock.now() - self._wall).total_seconds())


@asynccontextmanager
async def hold_lease(
    context: Context, app: str, machine_id: str, *, verb: str, ttl_s: int, patience_s: float | None = None
) -> AsyncIterator[HeldLease]:
    """Holds a lease for the block, renewed meanwhile and released at its end, on cancellation too.

    Held by someone else: tried again for `patience_s` seconds, then ApiError of kind LEASE_HELD, which tells who holds
    it. Without a patience it is tried once, and nobody is asked who that is.
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
    """Gives the lease back whatever became of its renewal; an error of that is told, also beside one of the work."""
    await asyncio.wait({renewal})
    await lease.release()
    if not renewal.cancelled() and (bug := renewal.exception()):
        context.emit(f"a lease could not be renewed: {unexpected_words(bug)}")


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Does the work to its end, also where we are cancelled meanwhile; then we are."""
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
            why = f"the lease on machine {machine_id} of {app} could not be asked for: no usable answer in time"
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
    """Takes the lease once. A lost reply is settled by looking whose description is on it, so a repeat is safe.

    Raises ApiError, of kind LEASE_HELD where someone else holds it.
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
                raise _held_by_other(app, machine_id, found) from error
            lease = found
        except BaseException:
            await _finish(_give_back(context, app, machine_id, description))
            raise
        return HeldLease(context, app, machine_id, lease, ttl_s=ttl_s, sent=sent)
    assert last is not None
    raise last


async def _found(context: Context, app: str, machine_id: str, description: str) -> Lease | None:
    """The lease that is on the machine after a reply was lost; where we give up over the look, ours is given back."""
    try:
        return await context.client.leases.get(app, machine_id)
    except BaseException:
        await _finish(_give_back(context, app, machine_id, description))
        raise


async def _give_back(context: Context, app: str, machine_id: str, description: str) -> None:
    """Releases a lease that was asked for and may have been granted, though nobody heard of it. Errors are of no
    consequence: it expires by itself.
    """
    with suppress(ApiError, TimeoutError):
        async with asyncio.timeout(_RELEASE_TIMEOUT_S):
            for pause_s in _GRANT_LOOKS_S:  # the request that was given up may be on its way still
                await context.clock.sleep(pause_s)
                found = await context.client.leases.get(app, machine_id)
                if found is None:
                    continue
                if found.description == description:
                    await context.client.leases.release(app, machine_id, nonce=Secret(found.nonce))
                return


async def _with_holder(context: Context, app: str, machine_id: str, error: ApiError) -> ApiError:
    """The refusal, with what the lease tells of its holder; the refusal itself names the owner of a token only."""
    lease = None
    with suppress(ApiError):
        lease = await context.client.leases.get(app, machine_id)
    if lease is None:
        return _held(app, machine_id, owner=error.held_by, until=error.held_until)
    return _held_by_other(app, machine_id, lease)


def _held_by_other(app: str, machine_id: str, lease: Lease) -> ApiError:
    return _held(app, machine_id, owner=lease.owner, until=lease.expires_at, by=words_of(lease.description))


def _held(app: str, machine_id: str, *, owner: str | None, until: datetime | None, by: str = "") -> ApiError:
    said = f"machine {machine_id} of {app} is leased" + (f" by {owner}" if owner else "")
    said += (f" ({by})" if by else "") + (f" until {until:%H:%M:%S} UTC" if until else "")
    return ApiError(said, kind=ApiErrorKind.LEASE_HELD, held_by=owner, held_until=until)
