"""The errors of celery-jobtrack.

::

    JobTrackError
    ├── ConfigurationError          a setting, a strategy or a declaration is wrong
    │   └── StrategyNotFound        no store could be inferred from the app's settings
    ├── Disabled                    jobtrack_enabled is False and the call needs the store
    ├── UnknownJob                  no job with this id was ever recorded
    ├── UnknownGroup                no group with this id or key
    ├── UnknownLock                 nobody has claimed this key lately
    ├── UnknownQueue                the app has no queue of this name
    ├── GroupNotSet                 a task that must run in a group was given none
    ├── GroupCompleted              a batch that has completed takes no more members
    ├── GroupCancelled              a cancelled group takes no more members
    ├── GroupNotCompleted           a group has to complete before what was asked of it
    ├── WouldBlock                  a group or a job was waited for inside of a task
    ├── NotApproved                 a function that may not be run by name
    ├── InvalidPayload              arguments or options that cannot be sent or kept
    ├── DispatchFailed              a bulk dispatch was interrupted; it says what was sent
    ├── Overlapping                 another job has the lock, and ``on_conflict="raise"``
    ├── StoreUnavailable            the store does not answer, or refuses
    │   └── SchemaMismatch          the store's tables are of another version
    └── StaleAttempt                the attempt was closed by somebody else
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu.exceptions import EncodeError

if TYPE_CHECKING:
    from celery_jobtrack.model.dispatched import Dispatched


class JobTrackError(Exception):
    """The root of every error that this package raises on purpose.

    Attributes:
        dispatched: What a bulk dispatch had sent when this error ended it; None for all others.
    """

    dispatched: Dispatched | None = None


class ConfigurationError(JobTrackError):
    """A setting, a strategy or a declaration is wrong."""


class StrategyNotFound(ConfigurationError):
    """No store was named and none can be inferred from the app's settings."""


class Disabled(JobTrackError):
    """Tracking is switched off by ``jobtrack_enabled = False`` and the call needs the store."""


class UnknownJob(JobTrackError, LookupError):
    """No job with this id was ever recorded in this namespace."""


class UnknownGroup(JobTrackError, LookupError):
    """No group with this id or key is recorded in this namespace."""


class UnknownLock(JobTrackError, LookupError):
    """Nobody has claimed this key lately in this namespace."""


class UnknownQueue(JobTrackError, LookupError):
    """The app has no queue of this name and may not create one."""


class GroupNotSet(JobTrackError):
    """A task with ``group_required = True`` was given no group."""


class GroupCompleted(JobTrackError):
    """A batch that has completed takes no more members."""


class GroupCancelled(JobTrackError):
    """A cancelled group takes no more members."""


class GroupNotCompleted(JobTrackError):
    """A group has to complete before what was asked of it: its results, its dispatch, to forget a member."""


class WouldBlock(JobTrackError, RuntimeError):
    """A group or a job was waited for inside of a task, where that can block every worker.

    It is a ``RuntimeError`` too, as what Celery's own ``result.get()`` raises there.
    """


class NotApproved(JobTrackError):
    """A function that ``jobtrack_approved_callables`` does not allow to be run by name."""


class InvalidPayload(JobTrackError, EncodeError, ValueError):
    """Arguments or options that cannot be sent or kept.

    It is a kombu ``EncodeError`` too, so code that catches that one goes on working.
    """


class DispatchFailed(JobTrackError):
    """A bulk dispatch was interrupted, by the broker or by what gave the signatures.

    The cause is the error's ``__cause__``.

    Args:
        message: What happened, and what to do.
        dispatched: What was sent until then.
    """

    def __init__(self, message: str, dispatched: Dispatched) -> None:
        super().__init__(message, dispatched)
        self.dispatched = dispatched

    def __str__(self) -> str:
        return str(self.args[0])


class Overlapping(JobTrackError):
    """Another job has the lock that this one needs, and it was to be raised.

    Args:
        message: What happened, and to which task.
        key: The key that is taken.
        holder_id: The id of the job that has it.
    """

    def __init__(self, message: str, key: str = "", holder_id: str | None = None) -> None:
        super().__init__(message, key, holder_id)
        self.key = key
        self.holder_id = holder_id

    def __str__(self) -> str:
        return str(self.args[0])


class StoreUnavailable(JobTrackError):
    """The store does not answer, or refuses to work."""


class SchemaMismatch(StoreUnavailable):
    """The store's tables are older than this code, or newer than it can work with."""


class StaleAttempt(JobTrackError):
    """The attempt was closed by somebody else: what it reports is kept, and changes nothing."""
