"""``tools/run-tests`` calls pytest twice and says rightly how that went."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "tools" / "run-tests"
PASSED, FAILED, INTERRUPTED, NOTHING = 0, 1, 2, 5


@pytest.mark.parametrize(
    ("tests", "matrix", "status"),
    [
        (PASSED, PASSED, PASSED),
        (PASSED, FAILED, FAILED),
        (PASSED, NOTHING, PASSED),
        (NOTHING, PASSED, PASSED),
        (NOTHING, FAILED, FAILED),
        (NOTHING, NOTHING, NOTHING),
    ],
)
def test_status_is_that_of_the_run_that_had_something_to_do(tmp_path, tests, matrix, status):
    assert run(tmp_path, tests, matrix, "-k", "this or that") == status
    assert (tmp_path / "calls").read_text().splitlines() == [
        "-m pytest -n auto --dist worksteal -k this or that",
        "-m pytest -p celery -p docker_tools -k this or that",
    ]


@pytest.mark.parametrize("status", [FAILED, INTERRUPTED])
def test_matrix_is_not_tried_after_a_failure(tmp_path, status):
    assert run(tmp_path, status, PASSED) == status
    assert len((tmp_path / "calls").read_text().splitlines()) == 1


def run(folder, tests, matrix, *arguments):
    """The script's status, with a Python that only notes how it was called."""
    python = folder / "python"
    python.write_text(
        "#!/bin/sh\n"
        f'echo "$*" >>"{folder}/calls"\n'
        f'case "$*" in *docker_tools*) exit {matrix} ;; *) exit {tests} ;; esac\n'
    )
    python.chmod(0o755)
    return subprocess.run([SCRIPT, python, *arguments], check=False).returncode
