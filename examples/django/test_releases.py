"""The project's tests: its pages and its command, and real runs on an engine. Run `pytest` here."""

import os
import re
from io import StringIO
from pathlib import Path

import django
import pytest

os.environ["DJANGO_SETTINGS_MODULE"] = "releases.settings"
django.setup()

from django.core.management import CommandError, call_command  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment, teardown_test_environment  # noqa: E402
from releases.machines import tasks  # noqa: E402


@pytest.fixture
def client(machines):
    setup_test_environment()
    yield Client()
    teardown_test_environment()
    tasks.close()


def form(client, repository):
    """What a browser sends back of the form."""
    [key] = re.findall(r'name="key" value="([^"]+)"', client.get("/").content.decode())
    return {"repository": repository, "key": key}


def test_a_form_starts_a_run_and_its_page_tells_how_it_ended(client, machines, tmp_path: Path):
    started = client.post("/", form(client, "acme/big"))
    assert started.status_code == 302
    assert b"running" in client.get(started["location"]).content
    (tmp_path / "go").touch()
    machines.wait_for_state("on-demand", "get-release-iad-0", "stopped")
    page = client.get(started["location"]).content.decode()
    assert "<p>succeeded</p>" in page
    assert "v1 of acme/big\n" in page
    assert "refresh" not in page


def test_a_form_that_is_sent_twice_starts_one_run(client, runs_started):
    filled = form(client, "acme/shop")
    assert client.post("/", filled)["location"] == client.post("/", filled)["location"]
    assert runs_started() == 1
    assert client.post("/", filled | {"repository": "acme/none"}).status_code == 409


def test_a_user_is_told_to_come_back_while_all_machines_run(client):
    client.post("/", form(client, "acme/big"))
    busy = client.post("/", form(client, "acme/shop"))
    assert (busy.status_code, busy["retry-after"]) == (503, "10")


@pytest.mark.parametrize("repository", ["", "acme", "--help/x", "acme/shop; ls", "../x"])
def test_what_is_no_repository_reaches_no_machine(client, runs_started, repository):
    assert (client.post("/", form(client, repository)).status_code, runs_started()) == (400, 0)


def test_an_unknown_run_is_not_found(client):
    assert client.get("/runs/get-release-iad-0/01ARZ3NDEKTSV4RRFFQ69G5FAV/").status_code == 404


def test_a_platform_that_refuses_is_no_fault_of_the_user(client, machines):
    machines.fault("unauthenticated", call="list")
    assert client.post("/", form(client, "acme/shop")).status_code == 502


def test_the_command_shows_the_output_and_ends_as_the_run_does(client):
    out = StringIO()
    call_command("get_release", "acme/shop", stdout=out)
    assert out.getvalue() == "v1 of acme/shop\n"
    with pytest.raises(CommandError, match="get-release-iad-0") as failed:
        call_command("get_release", "acme/none", stdout=out)
    assert (failed.value.returncode, out.getvalue()) == (3, "v1 of acme/shop\nno release of acme/none\n")
