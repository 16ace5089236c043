"""What indexes and their entries are called when people are told of them: keys have ids in them as bytes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from celery_jobtrack.strategies.redis.fields import GROUP_STATES, STATES
from celery_jobtrack.strategies.redis.ids import unpack_id

if TYPE_CHECKING:
    from collections.abc import Mapping

_JOB_STATES = {b"%d" % code: str(state) for state, code in STATES.items()}
_GROUP_STATES = {b"%d" % code: str(state) for state, code in GROUP_STATES.items()}

_PLAIN: Mapping[str, str] = {
    "t": "all jobs",
    "tp": "the pages of all jobs",
    "s": "jobs by state",
    "e": "ended jobs",
    "ep": "the pages of ended jobs",
    "d": "queued jobs",
    "q": "queues",
    "x": "jobs that expire",
    "o": "workers with open attempts",
    "m": "the members of its group",
    "G": "groups",
    "gd": "groups that are due for a check",
    "gc": "cancelled groups",
    "go": "groups that are over",
    "k": "the keys of groups",
    "vd": "groups with events to deliver",
    "lk": "locks",
    "lh": "who has a lock",
    "lw": "who waits for a lock",
    "lu": "places that run out",
    "ld": "locks by when somebody in line is due",
    "ln": "the names of locks",
    "lt": "locks that nobody has",
    "lc": "parked jobs that were called",
    "ls": "parked jobs that were superseded",
}
"""By the letters with which its key begins behind the root."""


def called(kinds: str) -> str:
    """The indexes with these letters, which a script names with blanks between them."""
    return ", ".join(dict.fromkeys(_PLAIN.get(kind, kind) for kind in kinds.split()))


def index_name(suffix: bytes) -> str:
    """An index, by what its key has behind the root; the id or name in it is told as it is."""
    found = re.fullmatch(rb":([A-Za-z]+):?(.*)", suffix, re.DOTALL)
    if found is None:
        return readable(suffix)
    kind, rest = found[1].decode(), found[2]
    named = {
        "s": lambda: f"jobs in state {_JOB_STATES[rest]}",
        "e": lambda: f"jobs that ended as {_JOB_STATES[rest.partition(b':')[0]]}",
        "ep": lambda: f"the pages of jobs that ended as {_JOB_STATES[rest]}",
        "d": lambda: f"jobs in queue {readable(rest)!r}",
        "o": lambda: f"open attempts of worker {readable(rest)}",
        "m": lambda: f"the members of group {readable(rest.rpartition(b':')[0])}",
        "lh": lambda: f"who has lock {readable(rest)!r}",
        "lu": lambda: f"places at lock {readable(rest)!r} that run out",
        "lw": lambda: f"who waits for lock {readable(rest)!r}",
        "G": lambda: f"groups in state {_GROUP_STATES[rest]}",
    }.get(kind)
    if named is None or not rest:
        return _PLAIN.get(kind, readable(suffix))
    try:
        return named()
    except KeyError:  # of a state that this code does not know
        return f"{_PLAIN[kind]} ({readable(rest)})"


def readable(name: bytes) -> str:
    """An id or a name. What is neither is told by its bytes."""
    try:
        text = unpack_id(name)
    except UnicodeDecodeError:
        return name.hex()
    return text if text.isprintable() else name.hex()
