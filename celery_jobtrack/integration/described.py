"""Exceptions as they are kept."""

from __future__ import annotations

import traceback

from celery_jobtrack.model.job import ErrorInfo

LONGEST_MESSAGE = 4096
LONGEST_TRACEBACK = 16384


def describe(error: BaseException) -> ErrorInfo:
    """The type, the text and the traceback, each of bounded length; of a traceback the end is kept."""
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return ErrorInfo(
        type=type(error).__qualname__,
        message=str(error)[:LONGEST_MESSAGE],
        traceback="".join(lines)[-LONGEST_TRACEBACK:],
    )
