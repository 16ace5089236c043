"""What happens to the tests of a server that is not installed: a skip that is seen, in CI a failure."""

from __future__ import annotations

import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.servers import Server, ServerMissingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SKIPPED = "server missing: "


def in_ci() -> bool:
    return os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@contextmanager
def skipping() -> Iterator[None]:
    """Skips the test, in CI fails it, when a server turns out not to be installed."""
    try:
        yield
    except ServerMissingError as missing:
        if in_ci():
            pytest.fail(f"{missing} (CI runs every test: a missing server is a failure)", pytrace=False)
        pytest.skip(f"{SKIPPED}{missing}")


@contextmanager
def running(start: Callable[[], Server]) -> Iterator[Server]:
    """The server that ``start`` gives, stopped at the end; skips, in CI fails, if it is not installed."""
    with skipping():
        server = start()
    with server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says in plain sight how much was not tested for want of a server."""
    reasons = Counter(
        report.longrepr[2].partition(SKIPPED)[2]
        for report in terminalreporter.getreports("skipped")
        if isinstance(report.longrepr, tuple) and SKIPPED in report.longrepr[2]
    )
    if reasons:
        terminalreporter.section("tests skipped for want of a server", yellow=True)
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count} skipped: {reason}")
        terminalreporter.line("tools/install-servers installs them all (as root, where there is apt)")
