"""Write the run record of a claim before its start.

Take it back if nothing was started. A record or a key that stays without a start says that the process that claimed the
machine died.
"""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import Final

from msgspec import Struct

from reconciler.errors import ApiError, LeaseLostError
from reconciler.invoke.claim_request import Announcement, Claimant
from reconciler.invoke.outcome import newer_than
from reconciler.model.machine import Event, Machine
from reconciler.slots.lease import HeldLease
from reconciler.slots.run_records import RunRecord, is_past_deadline, newest_record, next_key
from reconciler.slots.run_starts import final_exit

_TAKE_BACK_S: Final = 5.0


class ClaimRecord(Struct, frozen=True, kw_only=True):
    """The record of one claim. `live` is the GET under the lease, before the start."""

    claimant: Claimant
    lease: HeldLease
    live: Machine
    run_ulid: str
    fence: str | None
    announcement: Announcement | None

    async def write(self) -> None:
        """Write whose the next start is. Raises ApiError and LeaseLostError.

        Written before the start: if the claimer before us died before its start, our record voids its claim.
        """
        previous = newest_record(self.live.metadata)
        if previous and previous.fence == (self.fence or ""):
            self.claimant.context.emit(f"{self.live.name}: an earlier claim died before its start; taking over")
        ended = await _end_of(self.claimant, previous, self.live) if previous else None
        await self._set(next_key(self.live.metadata), self._record(previous, ended).to_text())
        if self.announcement:
            await self.announcement.write(self.run_ulid)

    async def take_back(self) -> None:
        """Restore the marks. The key first: without its record, its run counts as lost.

        A mark that cannot be restored stays, and reads as a claim whose process died.
        """
        key = next_key(self.live.metadata)
        with suppress(ApiError, LeaseLostError, TimeoutError):
            async with asyncio.timeout(_TAKE_BACK_S):
                if self.announcement:
                    await self.announcement.take_back()
                if replaced := self.live.metadata.get(key):
                    await self._set(key, replaced)
                else:
                    self.lease.guard()
                    await self.claimant.context.client.delete_metadata(self.live.app, self.live.id, key)

    async def _set(self, key: str, value: str) -> None:
        self.lease.guard()
        # The machine rests: assumption A16.
        await self.claimant.context.client.set_metadata(self.live.app, self.live.id, key, value)

    def _record(self, previous: RunRecord | None, ended: Event | None) -> RunRecord:
        context, bound_s = self.claimant.context, self.claimant.timeout_s
        return RunRecord(
            ulid=self.run_ulid,
            fence=self.fence or "",
            who=context.who,
            deadline=context.clock.now() + timedelta(seconds=bound_s) if bound_s else None,
            key=self.claimant.key,
            previous=ended.exit if ended else None,
            previous_was_late=bool(ended and previous and is_past_deadline(ended.at, previous.deadline)),
        )


async def _end_of(claimant: Claimant, previous: RunRecord, live: Machine) -> Event | None:
    """Return the exit of the previous record's run, if its events are retained.

    Raises ApiError.
    """
    from reconciler.invoke.history import start_of
    from reconciler.machines_api.more_events import events_back_to

    events = await events_back_to(claimant.context.client, live, previous.fence)
    start = start_of(previous, events, live)
    newer = newer_than(events, start.id) if start else None
    return final_exit(newer) if newer else None
