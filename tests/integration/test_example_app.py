"""The example application, as its users run it: ``python -m example_app``."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from celery_jobtrack.model.requests import GroupQuery, JobQuery
from celery_jobtrack.model.state import JobState, Reason
from celery_jobtrack.strategies.sql import SqlStore
from tests import processes
from tests.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
BOUND = 60.0
"""Seconds in which anything here must have happened."""

DEFAULT = "the default tree"
LONG_AGO = 1_000_000_000.0

GOOD = """\
import os
from pathlib import Path


class Shelf:
    def add(self): ...

    async def sort(self): ...


def main():
    import sys
"""


class Place:
    """A work directory, and what runs on it."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.tree = folder / "tree"
        self.tree.mkdir()
        self._environment = {**os.environ, "CENSUS_HOME": str(self.home), "PYTHONWARNINGS": "default"}
        self._environment |= {"COLUMNS": "80", "TERM": "dumb"}

    def add(self, name: str, content: str | bytes, *, changed: float = LONG_AGO) -> Path:
        """Put a file into the tree."""
        path = self.tree / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.utime(path, (changed, changed))
        return path

    def add_many(self, number: int) -> None:
        """Put enough into the tree that a worker is at it for a while."""
        for each in range(number):
            self.add(f"many/file_{each:04}.py", GOOD * 50)

    def run(self, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run the demonstration to its end."""
        return subprocess.run(
            self._command(*arguments, path=path),
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )

    @contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """The demonstration in the middle of its work, in a process group of its own."""
        demo = subprocess.Popen(
            self._command(*arguments),
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            wait_until(lambda: demo.poll() is not None or self.events(), BOUND, "the group does not start")
            assert demo.poll() is None, demo.communicate()
            yield demo
        finally:
            demo.kill()
            demo.communicate(timeout=BOUND)
            wait_until(lambda: not self.processes(), BOUND, "the processes of the demonstration go on")

    @contextmanager
    def worker(self) -> Iterator[subprocess.Popen[bytes]]:
        """A worker of the same app with short intervals; killed at the end, if it has not ended."""
        command = [sys.executable, "-m", "celery", "-A", "tests.integration.apps.quick_census", "worker"]
        self.home.mkdir(exist_ok=True)
        with (self.home / "worker.log").open("ab") as log:
            worker = subprocess.Popen(
                [*command, "-c", "2", "-l", "INFO"],
                cwd=ROOT,
                env=self._environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield worker
        finally:
            if worker.poll() is None:
                os.killpg(worker.pid, signal.SIGKILL)
            worker.wait(BOUND)

    def dispatch(self) -> str:
        """Dispatch a census without the demonstration; its group's id."""
        command = [sys.executable, "-m", "tests.integration.apps.dispatch_census", str(self.tree)]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=BOUND,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def processes(self) -> list[processes.Process]:
        """What runs on this work directory, whoever its parent is."""
        return processes.marked("CENSUS_HOME", str(self.home))

    def child(self, what: str) -> int:
        """The pid of the worker's main process, or of beat."""
        table = {process.pid: process for process in self.processes() if f" {what} " in process.command}
        return next(pid for pid, process in table.items() if process.parent not in table)

    def events(self) -> list[str]:
        """What the listeners wrote down, of all groups."""
        return [event["event"] for path in self._pages("events.jsonl") for event in _lines(path)]

    def reports(self) -> list[dict[str, int]]:
        """What the report jobs wrote."""
        return [json.loads(path.read_text()) for path in self._pages("report.json")]

    @contextmanager
    def store(self) -> Iterator[SqlStore]:
        """The store, opened here."""
        store = SqlStore(f"sqlite:///{self.home / 'jobtrack.db'}")
        store.open()
        try:
            yield store
        finally:
            store.close()

    def _pages(self, name: str) -> list[Path]:
        return list(self.home.glob(f"census/*/{name}"))

    def _command(self, *arguments: str, path: str | None = None) -> list[str]:
        command = [sys.executable, "-m", "example_app", *arguments]
        return command if path == DEFAULT else [*command, "--path", str(self.tree) if path is None else path]


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def place():
    with tempfile.TemporaryDirectory(prefix="jobtrack-census-") as folder:
        made = Place(Path(folder))
        yield made
        assert made.processes() == []


def test_census_counts_fails_and_runs_again(place):
    place.add("good.py", GOOD)
    place.add("below/empty.py", "")
    place.add("below/same.py", GOOD)
    place.add("below/broken.py", "def broken(:\n")
    place.add("below/nul.py", b"A = 1\0\n")
    place.add("site-packages/other.py", GOOD)
    place.add("notes.txt", "no source")
    place.add("odd [bold]name \N{SNOWMAN}\n\x1b[31m.py", GOOD)

    first = place.run()
    assert (first.returncode, first.stderr) == (0, "")
    assert place.events() == ["started", "completed"]
    assert place.reports() == [
        {
            "files": 4,
            "lines": 36,
            "functions": 9,
            "classes": 3,
            "imports": 9,
            "directories": 2,
            "bytes": 3 * len(GOOD) + 20,
            "duplicates": 2,
        }
    ]
    assert "6 files, 2 directories (site-packages left out)" in first.stdout
    assert "9 jobs: 7 succeeded, 2 failed" in first.stdout
    assert "Failed: 2" in first.stdout
    assert re.search(r"below/broken\.py {2}error\n +SyntaxError: invalid syntax", first.stdout)
    assert re.search(r"below/nul\.py {2}error\n +\w+Error: source code.* null bytes", first.stdout)
    assert "\x1b" not in first.stdout
    assert first.stdout.index("job_group_started") < first.stdout.index("job_group_completed")

    again = place.run()
    assert (again.returncode, again.stderr) == (0, "")
    assert "9 jobs: 7 succeeded, 2 failed" in again.stdout
    assert place.events() == ["started", "completed"]
    with place.store() as store:
        assert len(store.groups(GroupQuery()).items) == 1


def test_standard_library_is_the_default_with_samples_that_fail_and_one_that_is_retried(place):
    done = place.run("--limit", "10", path=DEFAULT)
    assert (done.returncode, done.stderr) == (0, "")
    assert "10 files, 1 directory" in done.stdout
    assert "19 jobs: 14 succeeded, 5 failed" in done.stdout
    assert re.search(r"samples/python_2\.py {2}error\n +SyntaxError: ", done.stdout)
    assert re.search(r"Retried.*: 1\n +arrivals/just_arrived\.py {2}2 attempts\n +StillBeing", done.stdout)


def test_state_of_earlier_runs_is_kept_when_asked_for(place):
    place.add("good.py", GOOD)
    assert place.run().returncode == 0
    again = place.run("--keep")
    assert (again.returncode, again.stderr) == (0, "")
    assert sorted(place.events()) == ["completed", "completed", "started", "started"]
    with place.store() as store:
        assert [group.totals.succeeded for group in store.groups(GroupQuery()).items] == [3, 3]


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("{tree}/missing", "there is no such directory"),
        ("{tree}/file.txt", "this is a file"),
        ("{tree}/nothing", "holds no Python sources"),
        ("", "--path is empty"),
    ],
)
def test_path_without_sources_is_one_line_and_starts_nothing(place, path, said):
    place.add("file.txt", "no source")
    (place.tree / "nothing").mkdir()
    done = place.run(path=path.format(tree=place.tree))
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("example_app: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert not place.home.exists()


@pytest.mark.parametrize(("signum", "going_on"), [(signal.SIGINT, ["--keep"]), (signal.SIGTERM, [])])
def test_asked_to_stop_leaves_no_process_and_no_broken_state(place, signum, going_on):
    place.add_many(400)
    with place.running() as demo:
        os.killpg(demo.pid, signum)  # as a terminal does
        _, errors = demo.communicate(timeout=BOUND)
        assert demo.returncode == 128 + signum
        assert errors == ""
        assert place.processes() == []
    with place.store() as store:
        (group,) = store.groups(GroupQuery()).items
        assert store.recompute_group(group.id).repaired is None
        assert store.workers() == []
        assert not store.jobs(JobQuery(state=JobState.STARTED)).items
    again = place.run("--limit", "5", *going_on)
    assert (again.returncode, again.stderr) == (0, "")
    with place.store() as store:
        totals = {group.totals.total: group.totals for group in store.groups(GroupQuery()).items}
        assert [each.outstanding for each in totals.values()] == [0] * len(totals)
        assert len(totals) == (2 if going_on else 1)
    assert sorted(place.events()) == ["completed"] * len(totals) + ["started"] * len(totals)


def test_killed_run_takes_its_processes_along(place):
    place.add_many(400)
    with place.running() as demo:
        assert len(place.processes()) >= 5  # itself, beat, the worker and its two children
        demo.kill()
        demo.wait(BOUND)
        again = place.run("--limit", "5")  # waits for what is left of the other
        assert (again.returncode, again.stderr) == (0, "")
        assert place.events() == ["started", "completed"]


def test_second_run_at_the_same_time_is_refused(place):
    place.add_many(400)
    with place.running() as demo:
        second = place.run()
        assert second.returncode == 2
        assert f"example_app: another run (pid {demo.pid}) is using {place.home}" in second.stderr
        assert demo.poll() is None


def test_killed_worker_ends_the_run_with_its_log(place):
    place.add_many(400)
    with place.running() as demo:
        os.kill(place.child("worker"), signal.SIGKILL)
        _, errors = demo.communicate(timeout=BOUND)
        assert demo.returncode == 1
        assert errors.startswith("example_app: the worker was killed by SIGKILL\nThe end of ")
        assert "census.measure" in errors


def test_new_worker_finishes_what_a_killed_one_has_left(place):
    number = 300
    place.add_many(number)
    group_id = place.dispatch()
    with place.store() as store, place.worker() as first:
        wait_until(lambda: store.group_status(group_id).final >= 50, BOUND, "the worker gets nowhere")
        os.killpg(first.pid, signal.SIGKILL)
        first.wait(BOUND)
        left = store.group_status(group_id)
        assert left.outstanding > 0
        with place.worker() as second:
            wait_until(place.reports, 2 * BOUND, "the group does not complete")
            second.terminate()
            assert second.wait(BOUND) == 0

        status = store.group_status(group_id)
        assert (status.total, status.outstanding) == (number, 0)
        failed = store.jobs(JobQuery(group_id=group_id, state=JobState.FAILURE)).items
        assert {job.reason for job in failed} <= {Reason.WORKER_LOST}
        assert len(failed) <= 2  # what its two children had open
        assert status.succeeded == number - len(failed)
        # A lost job may have been killed between its last line and the record of its end.
        assert status.succeeded <= place.reports()[0]["files"] <= number
        assert place.events() == ["started", "completed"]
        assert store.recompute_group(group_id).repaired is None
