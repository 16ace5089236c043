"""How much memory this process takes at most, from a moment on."""

from __future__ import annotations

import re
from pathlib import Path

STATUS = Path("/proc/self/status")
FORGET_PEAK = "5"
"""What the kernel takes for "the peak is what there is now", see proc(5), ``clear_refs``."""


class Growth:
    """Megabytes by which the resident memory has grown at most since this was made.

    Not from ``getrusage``: its peak outlives ``exec``, so a process begins with its parent's.
    """

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text(FORGET_PEAK)
        self._before = _megabytes("VmRSS")

    def megabytes(self) -> float:
        """The peak of now, less what there was at first."""
        return _megabytes("VmHWM") - self._before


def _megabytes(name: str) -> float:
    found = re.search(rf"^{name}:\s+(\d+) kB$", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{STATUS} does not say {name}")
    return int(found[1]) / 1024
