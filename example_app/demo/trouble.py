"""What is wrong with a run itself, and not with a file that it counts."""

from collections.abc import Sequence
from pathlib import Path


class TroubleError(Exception):
    """The run cannot go on.

    Args:
        what: What happened; one line.
        log: The log that may tell why, if there is one.
        lines: Its last lines.
    """

    def __init__(self, what: str, log: Path | None = None, lines: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.log = log
        self.lines = lines
