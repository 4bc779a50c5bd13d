"""Have the images of a plan built before anything but its apps is changed."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import TypeAlias

from reconciler.apply.create_apps import AppCreations
from reconciler.apply.executor import Stop
from reconciler.errors import ReconcilerError
from reconciler.model.plan import Plan
from reconciler.model.spec import Spec
from reconciler.slots.context import Context

BuildImages: TypeAlias = Callable[[Plan, Spec, Collection[str]], Awaitable[tuple[Plan, Spec]]]
"""Builds what a plan needs, but for apps that are missing; returns plan and spec with the images' digests."""


async def with_images_built(
    context: Context, plan: Plan, spec: Spec, creations: AppCreations, stop: Stop, build: BuildImages | None
) -> tuple[Plan, Spec] | str:
    """Return plan and spec with their images built, or why one could not be built.

    Waits for the apps first. A request to stop ends the build.
    """
    if build is None or not plan.builds:
        return plan, spec
    await creations.ended()
    if stop.why:
        return f"no image was built: {stop.why}"
    work = asyncio.ensure_future(build(plan, spec, creations.failures))
    asked = asyncio.ensure_future(stop.requested.wait())
    try:
        await asyncio.wait({work, asked}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            return (
                "the build of an image was interrupted" if stop.is_interrupt else f"an image was not built: {stop.why}"
            )
        return work.result()
    except ReconcilerError as error:
        hint = f"; {error.hint}" if error.hint else ""
        return f"an image could not be built: {error.message}{hint}"
    except Exception as error:
        return f"an image could not be built: {context.explain(error)}"
    finally:
        work.cancel()
        asked.cancel()
        await asyncio.gather(work, asked, return_exceptions=True)
