"""What every command has in common: ``--json``, one-line errors, exit codes."""

from __future__ import annotations

import errno
import functools
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from celery_jobtrack.cli.clean import one_line
from celery_jobtrack.cli.notices import notices
from celery_jobtrack.cli.surface import Surface
from celery_jobtrack.errors import JobTrackError, StrategyNotFound, UnknownGroup, UnknownJob, UnknownLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

INTERRUPTED = 130
"""The exit code of a process that was ended by Ctrl-C, as shells have it."""


class _Unknown(click.ClickException):
    exit_code = 2


class Command(click.Command):
    """A command that answers in text or, with ``--json``, in JSON, and fails in one line."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.append(
            click.Option(["--json", "as_json"], is_flag=True, help="Print the answer as JSON.")
        )

    def invoke(self, ctx: click.Context) -> Any:
        """Run it; what it raises becomes a line on stderr and an exit code."""
        with _failing_in_one_line(ctx), notices():
            return super().invoke(ctx)


def pass_surface(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give the command its ``Surface`` first, instead of ``--json``; the store is let go of at the end."""

    @click.pass_context
    @functools.wraps(function)
    def with_surface(ctx: click.Context, /, *, as_json: bool, **options: Any) -> Any:
        surface = Surface(ctx.obj, as_json=as_json)
        ctx.call_on_close(surface.close)
        return function(surface, **options)

    return with_surface


@contextmanager
def _failing_in_one_line(ctx: click.Context) -> Iterator[None]:
    try:
        yield
    except StrategyNotFound as error:
        if ctx.find_root().params.get("app") is not None:
            raise click.ClickException(one_line(error)) from error
        raise click.ClickException("no app was named: celery -A your_app jobtrack …") from error
    except JobTrackError as error:
        kind = (
            _Unknown if isinstance(error, (UnknownJob, UnknownGroup, UnknownLock)) else click.ClickException
        )
        raise kind(one_line(error)) from error
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise  # who read the answer has seen enough: click ends in silence
        _drop_what_stdout_holds()
        raise click.ClickException(one_line(error)) from error
    except KeyboardInterrupt:
        raise click.exceptions.Exit(INTERRUPTED) from None


def _drop_what_stdout_holds() -> None:
    """Have Python not fail once more, in words of its own, on what it could not write."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
