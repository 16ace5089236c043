"""What a task declares about running beside itself: ``without_overlapping`` and ``max_concurrent``."""

from __future__ import annotations

from dataclasses import dataclass
from string import Formatter
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.lock import OnConflict

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Overlap:
    """At most one job of a key runs at a time: ``without_overlapping=Overlap(key="report:{month}")``.

    Args:
        key: What must not overlap: a template over the task's arguments, or a function of them. None for
            all arguments: two jobs overlap if they were given the same.
        on_conflict: What becomes of a job whose key is taken: ``"skip"``, ``"raise"``, ``"wait"`` or
            ``"latest"`` (see ``OnConflict``).
        across_retries: Whether a job keeps the key until its last retry has ended; otherwise others may
            run in between.
        shared: Whether other tasks that declare the same key exclude each other, too.

    Raises:
        ValueError: A field is none of these.
    """

    key: str | Callable[..., str] | None = None
    on_conflict: str | OnConflict = OnConflict.SKIP
    across_retries: bool = True
    shared: bool = False

    def __post_init__(self) -> None:
        _check(self)


@dataclass(frozen=True, slots=True)
class Limit:
    """So many jobs of a key run at a time, across all workers: ``max_concurrent=Limit(3, key="{customer}")``.

    Args:
        count: How many, at least 1.
        key: As for ``Overlap``; None for all jobs of the task.
        on_conflict: As for ``Overlap``.
        across_retries: Whether a job keeps its place while it waits for its next retry.
        shared: Whether other tasks that declare the same key count, too.

    Raises:
        ValueError: A field is none of these.
    """

    count: int
    key: str | Callable[..., str] | None = None
    on_conflict: str | OnConflict = OnConflict.WAIT
    across_retries: bool = False
    shared: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise ValueError(f"a limit is a whole number from 1, not {self.count!r}")
        _check(self)


def fields_of(template: str) -> tuple[str, ...]:
    """The names of the arguments that a key's template uses.

    Raises:
        ValueError: It is no template, or it looks into an argument by attribute.
    """
    names = []
    for _, name, nested, _ in Formatter().parse(template):
        if name is None:
            continue
        if "." in name or "{" in (nested or ""):
            # A dispatch may come from anywhere, and attributes lead to everything.
            raise ValueError(f"{{{name}}} looks into an argument; use a function of the arguments as key")
        bare = name.partition("[")[0]
        if not bare.isidentifier():
            raise ValueError(f"{{{name}}} does not name an argument")
        names.append(bare)
    return tuple(names)


def fill(template: str, arguments: Mapping[str, Any]) -> str:
    """A key's template with the arguments of one job.

    Raises:
        LookupError, TypeError, ValueError: An argument is missing, or does not fit.
    """
    return template.format_map(dict(arguments))


def _check(declared: Overlap | Limit) -> None:
    try:
        on_conflict = OnConflict(declared.on_conflict)
    except ValueError:
        choices = ", ".join(repr(str(each)) for each in OnConflict)
        raise ValueError(f"on_conflict is one of {choices}, not {declared.on_conflict!r}") from None
    object.__setattr__(declared, "on_conflict", on_conflict)
    for name in ("across_retries", "shared"):
        if not isinstance(getattr(declared, name), bool):
            raise ValueError(f"{name} is True or False, not {getattr(declared, name)!r}")  # noqa: TRY004
    key = declared.key
    if isinstance(key, str):
        if not key:
            raise ValueError("key is empty; leave it out to use all arguments")
        fields_of(key)
    elif key is not None and not callable(key):
        raise ValueError(f"key is a template, a function or None, not {key!r}")
    if declared.shared and key is None:
        raise ValueError("shared = True needs a key: arguments alone do not say what tasks share")
