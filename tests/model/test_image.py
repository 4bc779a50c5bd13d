"""References as Docker and the OCI distribution read them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reconciler.model.image import parse_image

SHA = "sha256:" + "a" * 64
WHOLE = {
    "php": ("docker.io", "library/php", "latest", None, "php:latest"),
    "php:8.3-cli": ("docker.io", "library/php", "8.3-cli", None, "php:8.3-cli"),
    "owner/app": ("docker.io", "owner/app", "latest", None, "owner/app:latest"),
    "docker.io/php": ("docker.io", "library/php", "latest", None, "docker.io/php:latest"),
    "docker.io/owner/app:1": ("docker.io", "owner/app", "1", None, "docker.io/owner/app:1"),
    "registry.fly.io/on-demand:latest": ("registry.fly.io", "on-demand", "latest", None, None),
    "localhost/app": ("localhost", "app", "latest", None, "localhost/app:latest"),
    "localhost:5000/a/b/c:x": ("localhost:5000", "a/b/c", "x", None, None),
    "127.0.0.1:5000/app:x": ("127.0.0.1:5000", "app", "x", None, None),
    "[::1]:5000/app:x": ("[::1]:5000", "app", "x", None, None),
    "ghcr.io/o/a__b.c-d--e:V1.0_x": ("ghcr.io", "o/a__b.c-d--e", "V1.0_x", None, None),
    f"app@{SHA}": ("docker.io", "library/app", None, SHA, "app"),
    f"registry.example/app:1@{SHA}": ("registry.example", "app", "1", SHA, "registry.example/app:1"),
}


@pytest.mark.parametrize("text", WHOLE)
def test_a_reference_is_taken_apart_and_short_names_are_of_docker_hub(text: str) -> None:
    registry, repository, tag, digest, tagged = WHOLE[text]
    image = parse_image(text)
    assert (image.registry, image.repository, image.tag, image.digest) == (registry, repository, tag, digest)
    assert image.tagged == (tagged or text)
    assert parse_image(image.pinned(SHA)).digest == SHA
    assert parse_image(image.pinned(SHA)).is_same_tag(image)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "/app",
        "app/",
        "App",
        "a//b",
        "a:",
        "a:-x",
        "a: b",
        "a:" + "x" * 129,
        "a@",
        "a@sha256:12",
        "a@md5:" + "a" * 32,
        "http://registry.example/app",
        "registry.example:99999999/app",
        "-bad.example/app",
        "a" * 300,
        "app\n",
        "app:tag\x1b[31m",
    ],
)
def test_what_is_no_reference_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_image(text)


@given(st.text(alphabet="aA0._-/:@[]", max_size=30))
def test_whatever_is_read_reads_again_as_the_same(text: str) -> None:
    try:
        image = parse_image(text)
    except ValueError:
        return
    assert parse_image(image.tagged) == (image if image.digest is None else parse_image(image.tagged))
    if image.digest is None:
        assert parse_image(image.pinned(SHA)).is_same_tag(image)


def test_a_tag_is_another_one_by_registry_name_or_tag() -> None:
    first = parse_image("registry.example/app:1")
    for other in (
        "registry.example/app:2",
        "registry.example/apps:1",
        "other.example/app:1",
        f"registry.example/app@{SHA}",
    ):
        assert not first.is_same_tag(parse_image(other))
    assert parse_image("php").is_same_tag(parse_image("docker.io/library/php:latest"))
