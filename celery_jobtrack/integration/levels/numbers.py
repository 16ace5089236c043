"""From a level and a number to what a broker calls priority."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.levels.broker import Broker

if TYPE_CHECKING:
    from celery_jobtrack.model.levels import Levels

HIGHEST = 9
"""Numbers go from 0 to this one, which goes first."""

NUMBERS = HIGHEST + 1
MOST_LEVELS = 10
"""In one queue of RabbitMQ."""

MAX_PRIORITY = MOST_LEVELS * NUMBERS - 1
"""``x-max-priority`` of that queue. It does not depend on how many levels there are: a queue's arguments
cannot be changed, and levels may be added."""


def native(number: int, broker: Broker) -> int:
    """What a broker calls the priority of this number: Redis takes 0 first, the others 9."""
    return HIGHEST - number if broker is Broker.REDIS else number


def number_of(priority: Any, broker: Broker) -> int | None:
    """The number of what a broker was given as priority; None if that was none.

    Args:
        priority: In the broker's own terms.
        broker: The kind of broker.
    """
    if priority is None:
        return None
    number = _number(priority)
    return HIGHEST - number if broker is Broker.REDIS else number


def in_one_queue(levels: Levels, rank: int, given: Any) -> int:
    """The priority of a message in a queue that holds all levels.

    Args:
        levels: All of them.
        rank: The place of the message's level, from 0.
        given: What was asked for. A priority made here stands for its number again: Celery hands a job's
            priority on to the jobs that it sends, if told to.
    """
    assert rank < len(levels.levels)
    return MAX_PRIORITY - HIGHEST - rank * NUMBERS + _number(given)


def in_quorum_queue(levels: Levels, rank: int) -> int:
    """The same for a quorum queue, without numbers.

    RabbitMQ 4.0 to 4.2 knows two priorities there, up to 4 and above: the first level is preferred.
    """
    return HIGHEST if rank == 0 else len(levels.levels) - 1 - rank


def _number(given: Any) -> int:
    try:
        return max(int(given), 0) % NUMBERS
    except (TypeError, ValueError):
        return 0
