"""How long what has ended is kept, and which jobs may go when."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.state import FINAL, JobState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

DAY = 86_400.0
DEFAULT: Mapping[str, float] = MappingProxyType({"success": DAY, "failure": 30 * DAY, "other": 7 * DAY})
"""Seconds, as they would be set."""

_OTHERS = ("revoked", "skipped", "group")
_GROUP = frozenset({"group"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """Seconds for which jobs are kept after their end, by state, and completed groups; None is for ever."""

    success: float | None = DEFAULT["success"]
    failure: float | None = DEFAULT["failure"]
    revoked: float | None = DEFAULT["other"]
    skipped: float | None = DEFAULT["other"]
    group: float | None = DEFAULT["other"]

    @classmethod
    def alike(cls, seconds: float) -> Retention:
        """The same time for everything."""
        return cls(**{each.name: seconds for each in fields(cls)})

    def overridden(
        self, given: Any, check: Callable[[Any], float], *, without: frozenset[str] = frozenset()
    ) -> Retention:
        """The same, with the times that somebody gave. ``other`` stands for those that are not named.

        Args:
            given: A mapping of ``success``, ``failure``, ``revoked``, ``skipped``, ``group`` and
                ``other`` to a time, or to None for ever.
            check: Gives the seconds of a time, or raises ValueError.
            without: Names that cannot be given here.

        Raises:
            ValueError: It is no such mapping; the message suggests the nearest right name.
        """
        known = [name for name in (*DEFAULT, *_OTHERS) if name not in without]
        if not isinstance(given, Mapping):
            raise ValueError(f"it must be a mapping of {', '.join(map(repr, known))} to times")  # noqa: TRY004 - one kind for the caller
        times: dict[str, float | None] = {}
        for name, time in given.items():
            if name not in known:
                raise ValueError(f"{name!r} is not known; {_suggestion(name, known)}")
            try:
                times[name] = None if time is None else check(time)
            except ValueError as error:
                raise ValueError(f"{name}: {error}; None keeps for ever") from None
        if "other" in times:
            other = times.pop("other")
            times = {name: other for name in _OTHERS if name not in without} | times
        return replace(self, **times)

    def overridden_for_a_task(self, given: Any, check: Callable[[Any], float]) -> Retention:
        """The same for the jobs of one task, which has no groups of its own. Raises ValueError."""
        return self.overridden(given, check, without=_GROUP)

    def at_least(self, seconds: float) -> Retention:
        """The same, with no time shorter than this."""
        times = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(
            self, **{name: None if time is None else max(time, seconds) for name, time in times.items()}
        )

    def of(self, state: JobState) -> float | None:
        """Seconds for which jobs that ended in this state are kept; None is for ever."""
        seconds: float | None = getattr(self, state.value.lower())
        return seconds

    @property
    def worker(self) -> float:
        """Seconds for which a worker that is gone is kept: as long as a job that it may have run."""
        times = [time for time in map(self.of, FINAL) if time is not None]
        return max(times, default=DEFAULT["other"])


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Jobs of some tasks that ended in one state are kept for so many seconds, and no longer."""

    state: JobState
    seconds: float
    tasks: tuple[str, ...] | None = None
    """Only jobs of these tasks; None for all."""
    without_tasks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Retentions:
    """The retention of an app, and of its tasks that have one of their own."""

    default: Retention = Retention()
    tasks: Mapping[str, Retention] = field(default_factory=dict)

    def rules(self, states: Iterable[JobState] = FINAL) -> Sequence[Rule]:
        """What they come to: no job is under two rules, and one that is kept for ever is under none."""
        return [rule for state in sorted(states) for rule in self._rules(state)]

    def shortest(self, task: str) -> float | None:
        """Seconds after its end before which no job of a task is deleted; None if none ever is."""
        retention = self.tasks.get(task, self.default)
        return min((time for time in map(retention.of, FINAL) if time is not None), default=None)

    def _rules(self, state: JobState) -> Sequence[Rule]:
        usual = self.default.of(state)
        own: dict[float | None, list[str]] = {}
        for task, retention in sorted(self.tasks.items()):
            if retention.of(state) != usual:
                own.setdefault(retention.of(state), []).append(task)
        found = [
            Rule(state=state, seconds=seconds, tasks=tuple(tasks))
            for seconds, tasks in own.items()
            if seconds is not None
        ]
        if usual is not None:
            apart = tuple(sorted(task for tasks in own.values() for task in tasks))
            found.append(Rule(state=state, seconds=usual, without_tasks=apart))
        return found


def _suggestion(name: Any, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(map(repr, known))}"
