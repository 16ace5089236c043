"""What the package logs while a command runs: one line each on stderr, without tracebacks."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from celery_jobtrack.cli.clean import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = "celery_jobtrack"


class _Notice(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info is not None and record.exc_info[1] is not None:
            error = record.exc_info[1]
            text = f"{text} ({type(error).__name__}: {error})"
        click.echo(f"{record.levelname.capitalize()}: {one_line(text)}", err=True)


@contextmanager
def notices() -> Iterator[None]:
    """Show warnings and errors of the package's loggers, unless the app has set up logging."""
    logger = logging.getLogger(LOGGER)
    if logger.hasHandlers():
        yield
        return
    handler = _Notice(logging.WARNING)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
