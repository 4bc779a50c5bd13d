"""Send what names an image that was just pushed until the platform knows it.

For up to a minute and a half after a push the Machines API answers MANIFEST_UNKNOWN, while the registry has the image.
Only images that the registry has told of are waited for: built by this process, or looked up by it or for its saved
plan. Of any other one the answer may be the truth.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from reconciler.errors import ApiError, ApiErrorKind
from reconciler.slots.context import Context

T = TypeVar("T")
PATIENCE_S: Final = 120.0
_PAUSE_S: Final = 5.0


async def sent_until_known(context: Context, image: str | None, send: Callable[[], Awaitable[T]]) -> T:
    """Return what `send` returns; repeat it until the platform knows the image.

    Raises ApiError.
    """
    deadline = context.clock.monotonic() + PATIENCE_S
    while True:
        try:
            return await send()
        except ApiError as error:
            is_awaited = error.kind is ApiErrorKind.IMAGE_NOT_READY and context.pushed.holds(image)
            if not is_awaited or context.clock.monotonic() >= deadline:
                raise
            if image and context.pushed.is_news(image):
                context.emit(f"the platform does not know {image} yet: waiting up to {PATIENCE_S:.0f} s for it")
            await context.clock.sleep(_PAUSE_S)
