"""How a stack ends, for asyncio code: its machines are destroyed or released."""

from collections.abc import Awaitable, Callable, Collection

from reconciler.model.apply_event import ApplyEvent
from reconciler.model.report import Entry, Report
from reconciler.model.spec import Spec
from reconciler.operations.apply import Proposal, carry_out
from reconciler.operations.apply_events import told_events
from reconciler.operations.destroy import propose_destroy
from reconciler.operations.release import propose_release
from reconciler.operations.session import Session
from reconciler.stack import arguments
from reconciler.stack.arguments import WAIT_BUSY
from reconciler.stack.connection import Connection
from reconciler.tasks.arguments import check_flag
from reconciler.tasks.callbacks import harmless
from reconciler.tasks.library_words import of_entry, of_event, spoken_by_methods


@spoken_by_methods
class AsyncStackEnds:
    """The part of `AsyncStack` that is about its end. Nobody makes one of its own."""

    spec: Spec
    _connection: Connection

    async def destroy(
        self,
        *,
        only: Collection[str] = (),
        exclude: Collection[str] = (),
        regions: Collection[str] = (),
        wait_busy: str | float = WAIT_BUSY,
        wait_busy_s: float | None = None,
        force: bool = False,
        delete_apps: bool = False,
        on_end: Callable[[Entry], None] | None = None,
        on_event: Callable[[ApplyEvent], None] | None = None,
    ) -> Report:
        """Destroy all machines that this stack owns. The call is the consent.

        This waits `wait_busy` for runs in progress; `force` ends them. `delete_apps` then deletes the apps too, of an
        environment those with its name in theirs. Raises BlockedError before the first write, also if an app to delete
        has what is not this stack's.
        """
        check_flag("force", force)
        check_flag("delete_apps", delete_apps)
        if delete_apps and (only or exclude or regions):
            raise ValueError("delete_apps removes whole apps, so it does not go with only, exclude and regions")
        waits_s = arguments.wait_busy_of(wait_busy, wait_busy_s)
        arguments.check_carried_out(on_end=on_end, on_event=on_event)
        selection = arguments.check_selection(self.spec, only, exclude, regions)

        def propose(session: Session) -> Awaitable[Proposal]:
            return propose_destroy(session, self.spec, selection=selection, force=force, with_apps=delete_apps)

        return await self._carry_out(propose, wait_busy_s=waits_s, on_end=on_end, on_event=on_event)

    async def _carry_out(
        self,
        propose: Callable[[Session], Awaitable[Proposal]],
        *,
        wait_busy_s: float | None,
        on_end: Callable[[Entry], None] | None,
        on_event: Callable[[ApplyEvent], None] | None,
    ) -> Report:
        """Carry out what is proposed, and tell of it from the plan to the summary."""
        session = await self._connection.open()
        tell, ended = harmless("on_event", on_event, of_event), harmless("on_end", on_end, of_entry)
        with told_events(tell, stack=self.spec.stack, now=session.context.clock.now) as events:
            session = events.heard_in(session)
            proposal = await propose(session)
            events.plan(proposal.plan)
            return events.end(await carry_out(session, proposal, wait_busy_s=wait_busy_s, on_end=ended))

    async def release(
        self,
        *,
        only: Collection[str] = (),
        exclude: Collection[str] = (),
        regions: Collection[str] = (),
        wait_busy: str | float = WAIT_BUSY,
        wait_busy_s: float | None = None,
        on_end: Callable[[Entry], None] | None = None,
        on_event: Callable[[ApplyEvent], None] | None = None,
    ) -> Report:
        """Take this stack's marks off its machines, which go on. The call is the consent.

        Another tool may have them then, and `apply(adopt=True)` takes them back. This waits `wait_busy` for runs in
        progress. Raises BlockedError before the first write.
        """
        waits_s = arguments.wait_busy_of(wait_busy, wait_busy_s)
        arguments.check_carried_out(on_end=on_end, on_event=on_event)
        selection = arguments.check_selection(self.spec, only, exclude, regions)

        def propose(session: Session) -> Awaitable[Proposal]:
            return propose_release(session, self.spec, selection=selection)

        return await self._carry_out(propose, wait_busy_s=waits_s, on_end=on_end, on_event=on_event)
