"""Lines that many processes append to one file, which may be moved, full or gone."""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from celery_jobtrack.tracking.logs.log_file import QUIET, LogFile
from tests.unit.tracking_fixtures import Clock

WRITER = """
import json, sys
from celery_jobtrack.tracking.logs.log_file import LogFile

path, name, lines = sys.argv[1], sys.argv[2], int(sys.argv[3])
log = LogFile(path)
print("ready", flush=True)
sys.stdin.readline()
for number in range(lines):
    log.append(json.dumps({"by": name, "number": number, "text": name * (1 + number * 997 % 30_000)}))
log.close()
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "jobs.log"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log(path, clock):
    made = LogFile(str(path), clock)
    yield made
    made.close()


def warnings_of(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]


def test_lines_of_several_processes_do_not_mix(path):
    processes, lines = 4, 400
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), chr(ord("a") + n), str(lines)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(processes)
    ]
    try:
        for writer in writers:
            assert writer.stdout.readline() == "ready\n"
        for writer in writers:
            writer.stdin.write("go\n")
            writer.stdin.flush()
    finally:
        for writer in writers:
            writer.communicate(timeout=60)
    assert [writer.returncode for writer in writers] == [0] * processes
    written = [json.loads(line) for line in path.read_text().splitlines()]
    assert all(set(line["text"]) == {line["by"]} for line in written)
    for name in {line["by"] for line in written}:
        assert [line["number"] for line in written if line["by"] == name] == list(range(lines))
    assert len(written) == processes * lines


def test_a_file_that_was_moved_away_is_made_anew(log, path):
    log.append("one")
    path.rename(path.with_suffix(".1"))
    log.append("two")
    log.append("three")
    assert path.with_suffix(".1").read_text() == "one\n"
    assert path.read_text() == "two\nthree\n"


def test_a_file_that_was_truncated_is_gone_on_with(log, path):
    log.append("one")
    os.truncate(path, 0)
    log.append("two")
    assert path.read_text() == "two\n"


def test_a_removed_folder_is_warned_of_once_and_used_again_when_it_is_back(log, path, caplog):
    log.append("one")
    shutil.rmtree(path.parent)
    for _ in range(5):
        log.append("lost")
    assert len(warnings_of(caplog)) == 1
    assert str(path) in warnings_of(caplog)[0]
    path.parent.mkdir()
    log.append("two")
    assert path.read_text() == "two\n"


def test_a_later_outage_is_warned_of_again(log, path, clock, caplog):
    shutil.rmtree(path.parent)
    log.append("lost")
    clock.advance(QUIET - 1)
    log.append("lost")
    assert len(warnings_of(caplog)) == 1
    clock.advance(1)
    log.append("lost")
    assert len(warnings_of(caplog)) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is full")
def test_a_full_disk_is_warned_of_once(clock, caplog):
    log = LogFile("/dev/full", clock)
    for _ in range(5):
        log.append("lost")
    log.close()
    assert len(warnings_of(caplog)) == 1
    assert "No space left" in warnings_of(caplog)[0]


def test_a_line_after_a_torn_one_is_whole(log, path, caplog):
    log.append("one")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        log.append("a line of more than ten bytes")
        log.append("lost")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_text() == "one\na line"
    log.append("two")
    assert path.read_text().splitlines() == ["one", "a line", "two"]
    assert len(warnings_of(caplog)) == 1


def test_a_file_that_was_let_go_of_is_opened_again(log, path):
    log.append("one")
    log.let_go()
    log.let_go()
    log.append("two")
    assert path.read_text() == "one\ntwo\n"
