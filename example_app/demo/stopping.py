"""Ctrl-C and its relatives: noted when they come, obeyed where it is safe."""

import signal
from types import FrameType


class Stopped(BaseException):
    """The run was asked to stop. Not an ``Exception``: no handler on the way may keep it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


class StopSignals:
    """Collects the signals that ask to stop, from when it is made."""

    def __init__(self) -> None:
        self._received: list[int] = []
        signal.signal(signal.SIGINT, self._note)
        signal.signal(signal.SIGTERM, self._note)
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # As it is under nohup.
            signal.signal(signal.SIGHUP, self._note)

    def check(self) -> None:
        """Raises Stopped if one has come."""
        if self._received:
            raise Stopped(self._received[0])

    def came(self) -> bool:
        """Whether one has come."""
        return bool(self._received)

    def came_twice(self) -> bool:
        """Whether the user has lost patience."""
        return len(self._received) > 1

    def _note(self, signum: int, _frame: FrameType | None) -> None:
        self._received.append(signum)
