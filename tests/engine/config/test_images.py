"""Whatever a client makes of the parts of an image's name, the image is still found."""

import pytest

from reconciler.engine.config.images import image_ref, name_to_pull

WRITTEN = (
    *("alpine", "alpine:3", "alpine:latest", "library/alpine"),
    *("someone/tool", "someone/tool:1", "registry.fly.io/shop:deployment-1", "localhost:5000/shop", "ghcr.io/a/b:1"),
)


def joined(image: str) -> str:
    """The full name, as Fly's own client writes it for a clone."""
    parts = image_ref({"image": image})
    return f"{parts['registry']}/{parts['repository']}:{parts['tag']}@{parts['digest']}"


@pytest.mark.parametrize("image", WRITTEN)
def test_a_clone_has_the_image_that_was_written(image: str) -> None:
    clone = joined(image)
    assert name_to_pull(clone) == image
    assert image_ref({"image": clone}) == image_ref({"image": image})
    assert name_to_pull(joined(clone)) == image


@pytest.mark.parametrize("image", ["alpine:3", "someone/tool:1", "ghcr.io/a/b:1"])
def test_a_real_digest_is_kept_and_only_the_mirror_left_out(image: str) -> None:
    pinned = f"{image}@sha256:{'a' * 64}"
    assert name_to_pull(pinned) == pinned
    assert name_to_pull(joined(pinned)).removeprefix("library/") == pinned
