"""The command imports other packages without the parts that no verb runs; whoever uses them meets no difference."""

import importlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from reconciler.cli.later_parts import Package, importing_later
from reconciler.cli.lean_imports import FIRST_PACKAGES, PACKAGES

TABLES = {**PACKAGES, **FIRST_PACKAGES}
SERVER = """
import http.server, json, threading

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        if self.path == "/set":
            self.send_header("Set-Cookie", "place=ams; Path=/")
        body = json.dumps({"cookie": self.headers["Cookie"]}).encode()
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_values):
        pass

server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
threading.Thread(target=server.serve_forever, daemon=True).start()
url = f"http://127.0.0.1:{server.server_port}"
"""
LEAN = """
import sys
from reconciler.cli.later_parts import importing_later
from reconciler.cli.lean_imports import PACKAGES
with importing_later(PACKAGES):
    import asyncio, httpx, httpcore, msgspec, yaml
late = {part for package in PACKAGES.values() for part in package.parts}
assert not late & sys.modules.keys(), late & sys.modules.keys()
"""
# Answers one request on a connection, without a cookie.
PLAIN_ANSWER = """
async def answer(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\n[]")
    await writer.drain()
    writer.close()
"""
TLS = """
from reconciler.machines_api.connections import Connections
assert not {"ssl", "asyncio.sslproto"} & sys.modules.keys()
import ssl
server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
server_side.load_cert_chain(certificate, key)
trusting = ssl.create_default_context(cafile=certificate)
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_side)
    url = "https://127.0.0.1:%s" % server.sockets[0].getsockname()[1]
    for transport in (Connections(ssl_context=trusting, limit=1), httpx.AsyncHTTPTransport(verify=trusting)):
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get(url)).json() == []
    async with httpx.AsyncClient(transport=Connections(ssl_context=httpx.create_ssl_context(), limit=1)) as client:
        try:
            await client.get(url)
        except httpx.ConnectError as error:
            assert "certificate" in str(error)
        else:
            raise AssertionError
    reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1], ssl=trusting)
    assert writer.get_extra_info("ssl_object").version()
    writer.transport.abort()
    server.close()
asyncio.run(main())
"""


def run_lean(program: str) -> None:
    """Run the program in a process of its own that has imported the packages without their parts."""
    ended = subprocess.run([sys.executable, "-c", LEAN + program], timeout=60, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("part", "names"), [(part, names) for package in TABLES.values() for part, names in package.parts.items()]
)
def test_the_table_names_what_the_packages_have(part: str, names: str) -> None:
    module = importlib.import_module(part)
    assert [name for name in names.split() if not hasattr(module, name)] == []


def test_msgspec_without_its_parts_reads_and_describes_as_ever() -> None:
    program = """
import sys
from reconciler.cli.later_parts import importing_later
from reconciler.cli.lean_imports import FIRST_PACKAGES
with importing_later(FIRST_PACKAGES):
    import msgspec
late = {part for package in FIRST_PACKAGES.values() for part in package.parts}
assert not late & sys.modules.keys(), late & sys.modules.keys()

from typing import NotRequired, TypedDict

class Place(msgspec.Struct, frozen=True):
    name: str
    size: int = 0

class Named(TypedDict):
    name: str
    size: NotRequired[int]

assert msgspec.json.decode(b'{"name": "a", "size": 2}', type=Place) == Place("a", 2)
assert msgspec.json.decode(b'{"name": "a"}', type=Named) == {"name": "a"}
try:
    msgspec.json.decode(b'{"size": 1}', type=Named)
except msgspec.ValidationError as error:
    assert "name" in str(error)
else:
    raise AssertionError
assert [*msgspec.json.schema(Place)["$defs"]["Place"]["properties"]] == ["name", "size"]
assert msgspec.inspect.type_info(int) == msgspec.inspect.IntType()
assert msgspec.yaml.decode(b"a: 1") == {"a": 1}
assert msgspec.msgpack.decode(msgspec.msgpack.encode([1])) == [1]
import typing_extensions
assert typing_extensions.__file__
"""
    ended = subprocess.run([sys.executable, "-c", program], timeout=60, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_the_command_imports_msgspec_without_its_parts(tmp_path: Path) -> None:
    (tmp_path / "machines.yaml").write_text(
        "version: 1\nname: s\napps: {a: {image: i, tasks: {t: {command: ['true']}}}}\n"
    )
    program = "import sys; from reconciler.cli.__main__ import main; sys.argv = ['reconciler', 'validate']; main()"
    command = [sys.executable, "-X", "importtime", "-c", program]
    ended = subprocess.run(command, timeout=60, capture_output=True, text=True, cwd=tmp_path)
    assert "is valid" in ended.stdout
    imported = {row.rpartition("|")[2].strip() for row in ended.stderr.splitlines()}
    assert "msgspec" in imported
    assert not imported & {part for package in TABLES.values() for part in package.parts}


def test_cookies_are_kept_and_sent_as_ever() -> None:
    program = """
import asyncio
async def main():
    async with httpx.AsyncClient(base_url=url, cookies={"mine": "1"} if given else None) as client:
        first = (await client.get("/")).json()["cookie"]
        await client.get("/set")
        return first, (await client.get("/")).json()["cookie"], len(client.cookies), dict(client.cookies)
given = False
assert asyncio.run(main()) == (None, "place=ams", 1, {"place": "ams"})
given = True
assert asyncio.run(main()) == ("mine=1", "mine=1; place=ams", 2, {"mine": "1", "place": "ams"})
assert isinstance(httpx.Cookies({"a": "b"}).jar, __import__("http.cookiejar").cookiejar.CookieJar)
"""
    run_lean(SERVER + program)


def test_without_a_cookie_the_parts_that_read_cookies_are_not_imported() -> None:
    program = """
import asyncio
async def main():
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = "http://127.0.0.1:%s" % server.sockets[0].getsockname()[1]
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(url)).json() == []
        assert not client.cookies and len(client.cookies) == 0 and list(client.cookies.jar) == []
    server.close()
asyncio.run(main())
assert not {"http.cookiejar", "urllib.request", "email.message"} & sys.modules.keys()
"""
    run_lean(PLAIN_ANSWER + program)


def test_our_own_connections_need_no_anyio_and_keep_their_limits() -> None:
    program = """
import asyncio
from reconciler.machines_api.network import AsyncioBackend
async def hang(reader, writer):
    await reader.read()
    writer.close()
async def main():
    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    slow = "http://127.0.0.1:%s" % server.sockets[0].getsockname()[1]
    limits = {"extensions": {"timeout": {"pool": 0.05}}}
    async with httpcore.AsyncConnectionPool(max_connections=1, network_backend=AsyncioBackend()) as pool:
        calls = [asyncio.create_task(pool.request("GET", slow, **limits)) for _ in range(2)]
        [ended], [other] = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        assert isinstance(ended.exception(), httpcore.PoolTimeout), ended
        other.cancel()
        await asyncio.wait([other])
        assert other.cancelled()
        assert (await pool.request("GET", url, **limits)).content == b'{"cookie": null}'
    server.close()
asyncio.run(main())
assert not {"anyio", "httpcore._backends.anyio"} & sys.modules.keys()

async def with_anyio():
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).json()
assert asyncio.run(with_anyio()) == {"cookie": None}
import anyio
assert httpcore._synchronization.anyio.fail_after(1).__class__ is anyio.fail_after(1).__class__
"""
    run_lean(SERVER + program)


def test_tls_works_once_it_is_used(tmp_path: Path) -> None:
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    program = f"""
key, certificate = {str(tmp_path / "key.pem")!r}, {str(tmp_path / "certificate.pem")!r}
"""
    words = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    files = ["-keyout", str(tmp_path / "key.pem"), "-out", str(tmp_path / "certificate.pem")]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", *files]
    subprocess.run(["openssl", *words.split(), *names], check=True, capture_output=True, timeout=30)
    run_lean(program + PLAIN_ANSWER + TLS)


def test_what_no_verb_uses_works_when_it_is_used() -> None:
    program = """
with httpx.Client() as client:
    assert client.get(url).json() == {"cookie": None}
assert httpcore.request("GET", url).status == 200
assert isinstance(httpx.Client()._transport._pool, httpcore.ConnectionPool)
transport = httpx.MockTransport(lambda request: httpx.Response(200, text="ä", headers={"Content-Type": "text/plain"}))
assert isinstance(transport, httpx.MockTransport)
assert httpx.Client(transport=transport).get("http://x").text == "ä"
class Own(httpx.MockTransport):
    pass
assert Own(lambda request: httpx.Response(204)).handle_request(httpx.Request("GET", "http://x")).status_code == 204
application = lambda environ, start: (start("200 OK", []), [b"x"])[1]
assert httpx.Client(transport=httpx.WSGITransport(app=application)).get("http://x").content == b"x"
assert httpcore.default_ssl_context().check_hostname
assert httpx.URL("http://xn--mnchen-3ya.de").host == "m\u00fcnchen.de"
assert httpx.Client(transport=transport).post("http://x", files={"a": ("a.png", b"x")}).text == "\u00e4"
assert msgspec.json.schema(int) == {"type": "integer"}
assert msgspec.inspect.type_info(int) == msgspec.inspect.IntType()
assert msgspec.toml.encode.__module__ == "msgspec.toml"
assert yaml.safe_load("a: [1, x]") == {"a": [1, "x"]}
assert yaml.safe_dump({"a": [1]}) == "a:\\n- 1\\n"
assert yaml.load("a: 1", Loader=yaml.CSafeLoader) == {"a": 1}
assert yaml.safe_load.__module__ == "yaml"
class Loader(yaml.SafeLoader):
    pass
Loader.add_constructor("!x", lambda loader, node: "made")
assert yaml.load("!x 1", Loader=Loader) == "made"
yaml.add_constructor("!y", lambda loader, node: "made", Loader=yaml.SafeLoader)
assert yaml.safe_load("!y 1") == "made"
try:
    yaml.safe_load("a: [")
except yaml.YAMLError as error:
    assert isinstance(error, yaml.parser.ParserError), error
import http.cookiejar, urllib.request, email.message
assert urllib.request.urlopen(url).status == 200
assert http.cookiejar.__file__ and urllib.request.__file__ and email.message.__file__
assert httpx.__loader__ is httpx.__spec__.loader
assert not [finder for finder in sys.meta_path if "reconciler" in type(finder).__module__]
"""
    run_lean(SERVER + program)


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of packages that can be imported during the test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


def write(folder: Path, **files: str) -> None:
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)


def test_a_version_that_takes_another_name_is_imported_as_it_is(packages: Path) -> None:
    write(packages / "newer_one", __init__="from newer_one.part import other", part="other = 7")
    with importing_later({"newer_one": Package({"newer_one.part": "wanted"})}):
        import newer_one  # type: ignore[import-not-found]
    assert newer_one.other == 7
    assert sys.modules["newer_one.part"].__file__


def test_a_version_that_needs_its_part_at_once_is_imported_as_it_is(packages: Path) -> None:
    write(packages / "newer_two", __init__="from newer_two.part import limit; assert limit > 6", part="limit = 7")
    with importing_later({"newer_two": Package({"newer_two.part": "limit"})}):
        import newer_two  # type: ignore[import-not-found]
    assert newer_two.limit == 7


def test_a_version_without_the_part_is_imported_as_it_is(packages: Path) -> None:
    write(packages / "newer_three", __init__="limit = 7")
    with importing_later({"newer_three": Package({"newer_three.part": "wanted"})}):
        import newer_three  # type: ignore[import-not-found]
    assert newer_three.limit == 7
    assert "newer_three.part" not in sys.modules


def test_an_adjustment_that_finds_nothing_leaves_the_package_as_it_is(packages: Path) -> None:
    write(packages / "newer_four", __init__="from newer_four.part import wanted", part="def wanted(): return 7")
    with importing_later({"newer_four": Package({"newer_four.part": "wanted"}, adjust=lambda it: it.Gone.method)}):
        import newer_four  # type: ignore[import-not-found]
    assert newer_four.wanted is sys.modules["newer_four.part"].wanted


def test_an_error_of_the_package_itself_stays(packages: Path) -> None:
    write(packages / "broken", __init__="raise ValueError('as ever')")
    with importing_later({"broken": Package({"broken.part": "wanted"})}), pytest.raises(ValueError, match="as ever"):
        import broken  # type: ignore[import-not-found]  # noqa: F401
    assert "broken" not in sys.modules
