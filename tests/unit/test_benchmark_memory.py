"""The benchmarks say how much memory a process has taken while it did something."""

import subprocess
import sys

MEGABYTE = 2**20
MEASURE = """
from benchmarks.memory import Growth
kept = bytearray({before})
del kept
growth = Growth()
kept = bytearray(b"x") * {meanwhile}
del kept
print(growth.megabytes())
"""


def grown(*, before, meanwhile):
    code = MEASURE.format(before=before * MEGABYTE, meanwhile=meanwhile * MEGABYTE)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(done.stdout)


def test_growth_of_memory_is_not_hidden_by_a_larger_parent():
    larger = bytearray(b"x") * (300 * MEGABYTE)
    assert 29 < grown(before=0, meanwhile=30) < 60
    assert len(larger) == 300 * MEGABYTE


def test_growth_of_memory_does_not_count_what_was_before():
    assert grown(before=100, meanwhile=0) < 10
    assert 29 < grown(before=100, meanwhile=30) < 60
