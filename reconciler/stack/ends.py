"""How a stack ends: its machines are destroyed or released."""

from collections.abc import Callable, Collection

from reconciler.model.apply_event import ApplyEvent
from reconciler.model.report import Entry, Report
from reconciler.stack.arguments import WAIT_BUSY
from reconciler.stack.asynchronous import AsyncStack
from reconciler.tasks.loop_thread import LoopThreads


class StackEnds:
    """The part of `Stack` that is about its end. Nobody makes one of its own."""

    _threads: LoopThreads[AsyncStack]

    def destroy(
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
        """Remove every machine that this stack owns; see AsyncStack.destroy."""
        thread = self._threads.here()
        return thread.call(
            thread.content.destroy(
                only=only,
                exclude=exclude,
                regions=regions,
                wait_busy=wait_busy,
                wait_busy_s=wait_busy_s,
                force=force,
                delete_apps=delete_apps,
                on_end=on_end,
                on_event=on_event,
            )
        )

    def release(
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
        """Take this stack's marks off its machines; see AsyncStack.release."""
        thread = self._threads.here()
        return thread.call(
            thread.content.release(
                only=only,
                exclude=exclude,
                regions=regions,
                wait_busy=wait_busy,
                wait_busy_s=wait_busy_s,
                on_end=on_end,
                on_event=on_event,
            )
        )
