"""What registries answer, recorded in their own shapes: logins, lists, redirects, refusals, and what is no registry."""

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from reconciler.errors import RegistryError, RegistryErrorKind
from reconciler.images.credentials import Credentials
from reconciler.images.registry import LIMIT_BYTES, Registry, Resolved, ResolvedImage, resolve_images
from reconciler.images.wire import Connection
from reconciler.model.image import Resolve, parse_image
from reconciler.model.secret import Secret

Handler = Callable[[httpx.Request], httpx.Response]
IMAGE = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
USER = Credentials(user="me", password=Secret("canary-password"))
IDENTITY = Credentials(user="", password=Secret("canary-identity"))


def blob(value: Any) -> tuple[bytes, str]:
    content = json.dumps(value).encode()
    return content, f"sha256:{hashlib.sha256(content).hexdigest()}"


CONFIG, CONFIG_DIGEST = blob({"os": "linux", "architecture": "amd64"})
ARM_CONFIG, ARM_CONFIG_DIGEST = blob({"os": "linux", "architecture": "arm64"})


def manifest(config: str = CONFIG_DIGEST, size: int = 1000) -> tuple[bytes, str]:
    layers = [{"digest": "sha256:1", "size": size}, {"digest": "sha256:2", "size": 24}]
    return blob({"schemaVersion": 2, "mediaType": IMAGE, "config": {"digest": config}, "layers": layers})


MANIFEST, DIGEST = manifest()


def index(*entries: tuple[str, str, str]) -> tuple[bytes, str]:
    manifests = [
        {"mediaType": IMAGE, "digest": digest, "platform": {"os": system, "architecture": cpu}}
        for system, cpu, digest in entries
    ]
    return blob({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests})


def serving(**contents: bytes) -> Handler:
    """A registry without a login, which has these under their digests and the first one under the tag 1."""
    by_name = {f"sha256:{hashlib.sha256(one).hexdigest()}": one for one in contents.values()}
    by_name["1"] = next(iter(contents.values()))

    def answer(request: httpx.Request) -> httpx.Response:
        content = by_name.get(request.url.path.rpartition("/")[2])
        if content is None:
            return httpx.Response(404, json={"errors": [{"code": "MANIFEST_UNKNOWN"}]})
        return httpx.Response(200, content=content)

    return answer


def resolve(
    handler: Handler, image: str = "registry.example/app:1", credentials: Credentials | None = None
) -> ResolvedImage:
    async def scenario() -> ResolvedImage:
        async with Connection(transport=httpx.MockTransport(handler)) as connection:
            return await Registry(connection, lambda _host, _name: credentials).resolve(parse_image(image))

    return asyncio.run(scenario())


def refused(handler: Handler, **options: Any) -> RegistryError:
    with pytest.raises(RegistryError) as caught:
        resolve(handler, **options)
    assert "canary" not in f"{caught.value.message} {caught.value.hint}"
    return caught.value


def test_an_image_of_one_platform() -> None:
    found = resolve(serving(manifest=MANIFEST, config=CONFIG))
    assert found == ResolvedImage(digest=DIGEST, size_bytes=1024)
    assert resolve(serving(manifest=MANIFEST, config=CONFIG), image=f"registry.example/app@{DIGEST}") == found


def test_of_an_index_the_manifest_for_the_platform_is_taken() -> None:
    listed, _ = index(
        ("linux", "arm64", "sha256:" + "0" * 64), ("linux", "amd64", DIGEST), ("unknown", "unknown", DIGEST)
    )
    assert resolve(serving(index=listed, manifest=MANIFEST)).digest == DIGEST


def test_what_the_platform_cannot_run_is_said() -> None:
    arm, _ = manifest(ARM_CONFIG_DIGEST)
    error = refused(serving(manifest=arm, config=ARM_CONFIG))
    assert error.kind is RegistryErrorKind.UNSUITABLE
    assert "it is for linux/arm64, and the platform runs linux/amd64" in error.message
    listed, _ = index(("linux", "arm64", "sha256:" + "0" * 64))
    assert "only for linux/arm64" in refused(serving(index=listed)).message
    huge, _ = manifest(size=LIMIT_BYTES)
    error = refused(serving(manifest=huge, config=CONFIG))
    assert "8.0 GB packed" in error.message
    assert error.is_final
    helm, _ = blob({"mediaType": IMAGE, "config": {}, "layers": []})
    assert refused(serving(manifest=helm)).kind is RegistryErrorKind.UNSUITABLE


def test_docker_hub_is_asked_at_its_own_host_with_an_anonymous_token() -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(f"{request.url.host}{request.url.path}")
        if request.url.host == "auth.docker.io":
            assert dict(request.url.params) == {"service": "registry.docker.io", "scope": "repository:library/php:pull"}
            assert "authorization" not in request.headers
            return httpx.Response(200, json={"token": "canary-token"})
        if request.headers.get("authorization") != "Bearer canary-token":
            challenge = (
                'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",'
                'scope="repository:library/php:pull"'
            )
            return httpx.Response(401, headers={"www-authenticate": challenge})
        return serving(manifest=MANIFEST, config=CONFIG)(request)

    assert resolve(answer, image="php:1").digest == DIGEST
    assert asked == [
        "registry-1.docker.io/v2/library/php/manifests/1",
        "auth.docker.io/token",
        "registry-1.docker.io/v2/library/php/manifests/1",
        f"registry-1.docker.io/v2/library/php/blobs/{CONFIG_DIGEST}",
    ]


@pytest.mark.parametrize("offers", ['Basic realm="x"', 'Bearer realm="https://token.example/t", Basic realm="x"'])
def test_a_user_and_a_password(offers: str) -> None:
    basic = "Basic " + base64.b64encode(b"me:canary-password").decode()

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "token.example":
            assert request.headers["authorization"] == basic
            return httpx.Response(200, json={"access_token": "t"})
        expected = basic if offers.startswith("Basic") else "Bearer t"
        if request.headers.get("authorization") != expected:
            return httpx.Response(401, headers={"www-authenticate": offers})
        return serving(manifest=MANIFEST, config=CONFIG)(request)

    assert resolve(answer, credentials=USER).digest == DIGEST


def test_an_identity_token_is_exchanged() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "token.example":
            assert request.method == "POST"
            assert b"grant_type=refresh_token" in request.content
            assert b"canary-identity" in request.content
            return httpx.Response(200, json={"access_token": "t"})
        if request.headers.get("authorization") != "Bearer t":
            return httpx.Response(401, headers={"www-authenticate": 'Bearer realm="https://token.example/t"'})
        return serving(manifest=MANIFEST, config=CONFIG)(request)

    assert resolve(answer, credentials=IDENTITY).digest == DIGEST


@pytest.mark.parametrize(
    "challenge",
    [
        "",
        "Digest realm=x",
        'Basic realm="x"',
        'Bearer realm="http://token.example/t"',
        'Bearer realm="https://t.example"',
    ],
)
def test_a_login_that_leads_nowhere_ends(challenge: str) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        assert len(asked) < 10
        if request.url.host == "t.example":
            return httpx.Response(200, json={"token": "never good enough"})
        return httpx.Response(401, headers={"www-authenticate": challenge} if challenge else {})

    for credentials in (None, USER):
        asked.clear()
        error = refused(answer, credentials=credentials)
        assert error.kind is RegistryErrorKind.DENIED
        assert "docker login registry.example" in (error.hint or "")
        assert not any(url.startswith("http://token") for url in asked)


def test_a_redirect_is_followed_without_the_credentials() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "storage.example":
            assert "authorization" not in request.headers
            assert "canary" not in str(request.headers)
            return httpx.Response(200, content=CONFIG)
        if "authorization" not in request.headers:
            return httpx.Response(401, headers={"www-authenticate": 'Basic realm="x"'})
        if "/blobs/" in request.url.path:
            return httpx.Response(
                307, headers={"location": "https://storage.example/blob?signed=1", "set-cookie": "a=b"}
            )
        return serving(manifest=MANIFEST)(request)

    assert resolve(answer, credentials=USER).digest == DIGEST


@pytest.mark.parametrize(
    "location", ["http://plain.example/x", "https://registry.example/v2/app/manifests/1", "file:///etc"]
)
def test_a_redirect_that_must_not_be_followed(location: str) -> None:
    error = refused(lambda _request: httpx.Response(307, headers={"location": location}))
    assert error.kind is RegistryErrorKind.NOT_A_REGISTRY
    assert "redirects" in error.message


ANSWERS: dict[str, tuple[Handler, RegistryErrorKind, str]] = {
    "nothing there": (lambda _: httpx.Response(404), RegistryErrorKind.NOT_FOUND, "there is no such image"),
    "forbidden": (lambda _: httpx.Response(403), RegistryErrorKind.DENIED, "does not let us read it"),
    "rate limit": (lambda _: httpx.Response(429), RegistryErrorKind.UNREACHABLE, "rate limit"),
    "down": (lambda _: httpx.Response(503, html="<html>"), RegistryErrorKind.UNREACHABLE, "answered 503"),
    "a web page": (lambda _: httpx.Response(200, html="<html>"), RegistryErrorKind.NOT_A_REGISTRY, "no manifest"),
    "a list": (lambda _: httpx.Response(200, json=[1]), RegistryErrorKind.NOT_A_REGISTRY, "no manifest"),
    "nested": (lambda _: httpx.Response(200, content=b"[" * 100_000), RegistryErrorKind.NOT_A_REGISTRY, "no manifest"),
    "huge": (lambda _: httpx.Response(200, content=b"x" * 5_000_000), RegistryErrorKind.NOT_A_REGISTRY, "more than"),
    "odd": (lambda _: httpx.Response(418), RegistryErrorKind.NOT_A_REGISTRY, "answered 418"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_else_a_registry_may_answer(name: str) -> None:
    handler, kind, words = ANSWERS[name]
    error = refused(handler)
    assert error.kind is kind
    assert words in error.message


def test_no_connection_and_silence() -> None:
    def broken(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route, said canary", request=request)

    assert refused(broken).kind is RegistryErrorKind.UNREACHABLE


def test_another_content_than_the_digest_names_is_not_believed() -> None:
    listed, _ = index(("linux", "amd64", DIGEST))
    other, _ = manifest(size=7)

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=listed if request.url.path.endswith("/1") else other)

    assert "another digest" in refused(answer).message
    assert "another digest" in refused(answer, image=f"registry.example/app@{DIGEST}").message


def resolved(handler: Handler, mode: Resolve, *images: str) -> Resolved:
    async def scenario() -> Resolved:
        async with Connection(transport=httpx.MockTransport(handler)) as connection:
            return await resolve_images(Registry(connection, lambda _host, _name: None), images, mode)

    return asyncio.run(scenario())


def test_of_several_images_one_that_cannot_be_looked_up_is_a_warning_or_an_error_by_the_mode() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.host == "down.example":
            return httpx.Response(502)
        if request.url.host == "gone.example":
            return httpx.Response(404)
        return serving(manifest=MANIFEST, config=CONFIG)(request)

    images = ("registry.example/app:1", "down.example/app:1")
    found = resolved(answer, Resolve.AUTO, *images)
    assert found.digests == {"registry.example/app:1": DIGEST}
    assert len(found.warnings) == 1
    assert "down.example/app:1" in found.warnings[0]
    assert resolved(answer, Resolve.NEVER, *images) == Resolved(digests={})
    for mode, names in ((Resolve.ALWAYS, images), (Resolve.AUTO, ("gone.example/app:1",))):
        with pytest.raises(RegistryError):
            resolved(answer, mode, *names)


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ask() -> None:
        async with Connection() as connection:
            await Registry(connection, lambda _host, _name: None).resolve(parse_image("registry.example/app:1"))

    monkeypatch.setenv("SSL_CERT_FILE", "/none.pem")
    with pytest.raises(RegistryError, match=r"the CA certificates of /none.pem cannot be read: No such file"):
        asyncio.run(ask())
