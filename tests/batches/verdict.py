"""What must hold at the end of a run. Each check gives what it found wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.batches.judgement import Judgement
from tests.batches.of_callbacks import callbacks_called_rightly, callbacks_ended_rightly, callbacks_right
from tests.batches.of_groups import all_ended, as_asked, children_counted, groups_as_predicted
from tests.batches.of_members import (
    ended_rightly,
    members_right,
    nobody_unknown,
    none_ran_twice,
    recorded_as_run,
)
from tests.crash.accounts import Problem, counters_right, events_delivered, events_once, no_attempt_open

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.batches.chapters import Case


def judge(case: Case) -> list[Problem]:
    """All that is wrong."""
    judgement = Judgement(case)
    return [problem for check in _CHECKS for problem in check(judgement)]


def _no_surprises(judgement: Judgement) -> Iterator[Problem]:
    for line in judgement.case.acts:
        if line.get("error") == "surprise":
            yield Problem(kind="surprise", what=f"{line['act']} of {line['target']} raised {line['text']}")


_CHECKS: tuple[Callable[[Judgement], Iterator[Problem]], ...] = (
    all_ended,
    as_asked,
    members_right,
    ended_rightly,
    groups_as_predicted,
    children_counted,
    callbacks_right,
    callbacks_ended_rightly,
    callbacks_called_rightly,
    none_ran_twice,
    recorded_as_run,
    nobody_unknown,
    _no_surprises,
    lambda judgement: no_attempt_open(judgement.books),
    lambda judgement: counters_right(judgement.books),
    lambda judgement: events_once(judgement.books, judgement.case.listeners, of_empty=True),
    lambda judgement: events_delivered(judgement.books),
)
