"""The dispatch of many jobs: read, recorded and sent chunk by chunk."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NamedTuple

from celery.canvas import Signature

from celery_jobtrack.errors import DispatchFailed, InvalidPayload, JobTrackError
from celery_jobtrack.integration.bulk.account import Account
from celery_jobtrack.integration.bulk.bar import bar
from celery_jobtrack.integration.bulk.members import naming
from celery_jobtrack.integration.bulk.one_by_one import OneByOne
from celery_jobtrack.integration.bulk.packing import Packer
from celery_jobtrack.integration.bulk.recording import Recording, by_group
from celery_jobtrack.integration.bulk.room import Room, check_room
from celery_jobtrack.integration.bulk.sending import Broker
from celery_jobtrack.model.names import check_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from celery_jobtrack.integration.bulk.parcel import Parcel
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.dispatched import Dispatched

CHUNK = 500
"""How many jobs are recorded by one write and sent by one batch, if nobody says otherwise."""
LARGEST_CHUNK = 10_000
HEAVIEST_CHUNK = 16 * 1024 * 1024
"""Bytes of messages after which a chunk is closed, whatever it counts: it is held in memory."""


def dispatch(
    runtime: Runtime,
    signatures: Iterable[Any],
    *,
    group_id: str | None = None,
    chunk: int = CHUNK,
    key: str | None = None,
    on_progress: Callable[[Dispatched], object] | None = None,
    progress: bool = False,
    max_outstanding: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Dispatched:
    """Record and send a job for each signature. Whoever calls this holds the group open meanwhile.

    Args:
        runtime: The app's.
        signatures: Read as they are sent, never more than one chunk ahead.
        group_id: Whose members the jobs are; None leaves that to each signature.
        chunk: How many jobs are recorded and sent at once.
        key: What ids are made from, so that a second dispatch adds only what is missing.
        on_progress: Is called after each chunk.
        progress: Whether a bar is drawn.
        max_outstanding: How many members of the group may be outstanding before the next chunk is read.
        options: Options for the signatures that do not say otherwise themselves.

    Raises:
        InvalidPayload: A signature or an argument of this call cannot be used.
        DispatchFailed: The signatures or the broker raised something.
        JobTrackError: What recording raises. All of these have ``dispatched``.
    """
    account = Account(group_id)
    try:
        check_call(signatures, chunk=chunk, key=key, max_outstanding=max_outstanding, group_id=group_id)
        with ExitStack() as stack:
            told = [] if on_progress is None else [on_progress]
            if progress:
                told.append(stack.enter_context(bar(signatures)))
            room = None
            if max_outstanding is not None and group_id is not None:
                room = Room(runtime, group_id, max_outstanding)
            packer = Packer(runtime, group_id=group_id, usual=options or {}, key=key)
            bulk = BulkDispatch(runtime, packer, account, chunk=chunk, room=room)
            return bulk.run(signatures, told=told)
    except JobTrackError as error:
        error.dispatched = error.dispatched or account.report()
        raise


class _Read(NamedTuple):
    """The next chunk."""

    parcels: list[Parcel]
    whole: Callable[[], object] | None = None
    """Sends the member after the chunk, which is more than one job. It goes out after those before it."""
    error: Exception | None = None
    """What the signatures raised after the chunk."""
    more: bool = True


class BulkDispatch:
    """One dispatch.

    Args:
        runtime: The app's.
        packer: Makes parcels of signatures.
        account: Counts what becomes of them.
        chunk: How many jobs are recorded and sent at once.
        room: What every chunk but the first waits for.
    """

    def __init__(
        self, runtime: Runtime, packer: Packer, account: Account, *, chunk: int, room: Room | None
    ) -> None:
        self._runtime = runtime
        self._chunk = chunk
        self._room = room
        self._account = account
        self._packer = packer
        self._recording = Recording(runtime, packer)
        self._broker = Broker(runtime.app)

    def run(self, signatures: Iterable[Any], *, told: Sequence[Callable[[Dispatched], object]]) -> Dispatched:
        """Dispatch all of them; what is raised carries the account of what was sent by then."""
        try:
            for report in self._chunks(iter(signatures)):
                for tell in told:
                    tell(report)
        except JobTrackError as error:
            error.dispatched = self._account.report()
            raise
        except Exception as error:
            report = self._account.report()
            raise DispatchFailed(
                f"the dispatch was interrupted by {type(error).__name__}: {error} ({report})", report
            ) from error
        return self._account.report()

    def _chunks(self, items: Iterator[Any]) -> Iterator[Dispatched]:
        app = self._runtime.app
        if app.conf.task_always_eager or not self._runtime.enabled:
            singly = OneByOne(self._runtime, self._packer, self._account)
            yield from singly.run(items, self._chunk)
            return
        more = True
        while more:
            # What cannot be sent is raised here, and nothing is sent of the chunk in which it stands.
            read = self._read(items)
            more = read.more
            if self._room is not None and self._account.sent and (read.parcels or read.whole is not None):
                self._room.wait()
            # What the signatures gave before they raised is sent, as it would be in a loop.
            for part in by_group(read.parcels):
                self._dispatch(part)
            if read.whole is not None:
                read.whole()
                self._account.count(sent=1)
            if read.error is not None:
                raise read.error
            if read.parcels or read.whole is not None:
                yield self._account.report()

    def _read(self, items: Iterator[Any]) -> _Read:
        parcels: list[Parcel] = []
        weight = 0
        while len(parcels) < self._chunk and weight < HEAVIEST_CHUNK:
            try:
                item = next(items)
            except StopIteration:
                return _Read(parcels, more=False)
            except Exception as error:  # noqa: BLE001 - of their own making
                return _Read(parcels, more=False, error=error)
            number = self._account.read()
            with naming(number):
                whole = self._packer.whole(item)
            if whole is not None:
                return _Read(parcels, whole=whole)
            parcel = self._packer.pack(item, number)
            if parcel is not None:
                parcels.append(parcel)
                weight += parcel.weight
        return _Read(parcels)

    def _dispatch(self, parcels: list[Parcel]) -> None:
        new, held_back = self._recording.record(parcels)
        self._account.count(known=len(parcels) - len(new) - held_back, held_back=held_back)
        if not new:
            return
        handed = self._broker.hand_over(new)
        self._account.count(sent=handed.sent, uncertain=len(handed.uncertain))
        if handed.cause is None:
            return
        self._recording.settle_unsent(handed.not_sent, handed.cause)
        report = self._account.report()
        raise DispatchFailed(
            f"the broker did not take all jobs: {handed.cause} ({report}). What was not sent has ended as "
            "FAILURE(publish_failed); what is uncertain is sent again by the checker if it is missing. A "
            "dispatch with the same key= adds only what is missing",
            report,
        ) from handed.cause


def check_call(signatures: Any, *, chunk: Any, key: Any, max_outstanding: Any, group_id: str | None) -> None:
    """See that a dispatch can be made of what was given. Raises InvalidPayload."""
    if isinstance(signatures, Signature):
        raise InvalidPayload(
            f"dispatching takes many signatures, not one {signatures.get('subtask_type') or 'signature'}: "
            "put it into a list"
        )
    if isinstance(signatures, (str, bytes, dict)) or not hasattr(signatures, "__iter__"):
        raise InvalidPayload(f"signatures must be an iterable of signatures, not {signatures!r}")
    if isinstance(chunk, bool) or not isinstance(chunk, int) or not 1 <= chunk <= LARGEST_CHUNK:
        raise InvalidPayload(f"chunk is a whole number from 1 to {LARGEST_CHUNK}, not {chunk!r}")
    if key is not None:
        check_name("the key of a dispatch", key, InvalidPayload)
    if max_outstanding is not None:
        check_room(max_outstanding, group_id)
