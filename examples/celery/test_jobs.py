"""The job's tests: a worker in a thread, a broker in memory, and real runs on an engine. Run `pytest` here."""

from pathlib import Path

import pytest
from celery import signals
from celery.contrib.testing.worker import start_worker
from jobs import app, get_release, tasks

from reconciler import Tasks

app.conf.update(broker_url="memory://", result_backend="cache+memory://")
app.conf.update(broker_transport_options={"polling_interval": 0.05})
get_release.default_retry_delay = 0
WAIT_S = 30


@pytest.fixture(scope="module")
def thread():
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=WAIT_S):
        yield


@pytest.fixture
def worker(thread, machines):
    yield
    tasks.close()  # the next test has an engine of its own


@pytest.fixture
def at_retry():
    """Calls, at the next retry, what is put into it."""
    calls = []

    def called(**_signal):
        while calls:
            calls.pop()()

    signals.task_retry.connect(called)
    yield calls
    signals.task_retry.disconnect(called)
    assert not calls, "nothing was tried again"


def test_a_job_returns_the_output_of_its_run(worker):
    assert get_release.delay("acme/shop").get(WAIT_S)["output"] == ["v1 of acme/shop"]


def test_a_failed_run_fails_the_job_and_is_not_tried_again(worker, runs_started):
    job = get_release.delay("acme/none")
    error = job.get(WAIT_S, propagate=False)
    assert (job.state, runs_started()) == ("FAILURE", 1)
    assert "exited 3; its output says why" in str(error)


def test_a_job_that_comes_twice_runs_once(worker, runs_started):
    first, second = (get_release.apply_async(["acme/shop"], task_id="job-1").get(WAIT_S) for _ in range(2))
    assert (first, runs_started()) == (second, 1)


def test_a_job_waits_its_turn_while_all_machines_run(worker, at_retry, tmp_path: Path):
    at_retry.append((tmp_path / "go").touch)
    with Tasks("on-demand") as others:
        others.invoke("get-release", args=["acme/big"])
    assert get_release.delay("acme/shop").get(WAIT_S)["output"] == ["v1 of acme/shop"]


def test_a_job_is_tried_again_once_the_platform_answers(worker, at_retry, machines):
    machines.fault("unavailable", call="list", times="always")
    at_retry.append(machines.clear_faults)
    assert get_release.delay("acme/shop").get(WAIT_S)["output"] == ["v1 of acme/shop"]


@pytest.mark.parametrize("repository", ["", "acme", "--help/x", "acme/shop; ls", "../x"])
def test_what_is_no_repository_reaches_no_machine(worker, runs_started, repository):
    with pytest.raises(ValueError, match="OWNER/REPO"):
        get_release.delay(repository).get(WAIT_S)
    assert runs_started() == 0
