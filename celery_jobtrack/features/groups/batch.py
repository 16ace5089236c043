"""The batch builder: members and callbacks put together step by step, then sent."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import GroupCancelled, InvalidPayload
from celery_jobtrack.features.groups.catalogue import Groups
from celery_jobtrack.features.groups.given import one_more
from celery_jobtrack.features.groups.nesting import count_in_parent
from celery_jobtrack.features.groups.sending import Nested, check_members, send_members
from celery_jobtrack.integration import bulk
from celery_jobtrack.model.names import check_name
from celery_jobtrack.model.state import CallbackKind, GroupState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from celery_jobtrack.features.groups.group import JobGroup
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.callback import Callback
    from celery_jobtrack.model.dispatched import Dispatched


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingBatch(Nested):
    """A batch that is not sent yet. Every step gives a new one, so a half-built one can be used again.

    The signature of a callback is checked when it is given. Its job gets the id of the batch as its first
    argument, unless the signature is immutable (``task.si(…)``).

    Example::

        jobtrack.batch([resize.s(p) for p in paths], title="Holiday").then(notify.s()).dispatch()
    """

    runtime: Runtime
    members: Iterable[Any] = ()
    about: Mapping[str, Any] = field(default_factory=dict)
    parent: Any = None
    callbacks: tuple[Callback, ...] = ()
    on_failure: str = "cancel"
    options: Mapping[str, Any] = field(default_factory=dict)

    def before(self, signature: Any) -> PendingBatch:
        """Run this when the first member starts. Raises InvalidPayload."""
        return self._with_callback(CallbackKind.BEFORE, signature)

    def progress(self, signature: Any, *, every: int = 1) -> PendingBatch:
        """Run this each time that ``every`` members more have ended. Raises InvalidPayload."""
        return self._with_callback(CallbackKind.PROGRESS, signature, every=every)

    def then(self, signature: Any) -> PendingBatch:
        """Run this when all members have succeeded. Raises InvalidPayload."""
        return self._with_callback(CallbackKind.THEN, signature)

    def catch(self, signature: Any) -> PendingBatch:
        """Run this when the first member fails for good, once. Raises InvalidPayload."""
        return self._with_callback(CallbackKind.CATCH, signature)

    def finally_(self, signature: Any) -> PendingBatch:
        """Run this when all members have ended, however. Raises InvalidPayload."""
        return self._with_callback(CallbackKind.FINALLY, signature)

    def allow_failures(self) -> PendingBatch:
        """Let the others go on when one fails; otherwise the first failure cancels the rest."""
        return replace(self, on_failure="continue")

    def on_queue(self, name: str) -> PendingBatch:
        """Send the members to this queue, unless one says otherwise; callbacks go where they say."""
        return replace(self, options={**self.options, "queue": check_name("a queue", name, InvalidPayload)})

    def dispatch(
        self,
        *,
        chunk: int = bulk.CHUNK,
        on_progress: Callable[[Dispatched], object] | None = None,
        progress: bool = False,
        max_outstanding: int | None = None,
    ) -> JobGroup:
        """Make the batch, send its members chunk by chunk, and seal it. See ``JobTrack.dispatch_many``.

        Members may start, fail and cancel the rest before the last one is sent: then the others are not.
        If sending breaks off, the batch is sealed as incomplete, which is a failure: its ``catch`` and
        ``finally`` callbacks follow when what was sent has ended.

        Raises:
            InvalidPayload: A title, a payload or a member is wrong. If the members were given as a list, what
                is no signature of a known task is found before anything is recorded.
            UnknownGroup, GroupCompleted, GroupCancelled: The parent takes no members.
            DispatchFailed: The iterable of members raises, or the broker: that error is the cause.
        """
        about: dict[str, Any] = {"chunk": chunk, "on_progress": on_progress}
        return self._dispatch(self.parent, **about, progress=progress, max_outstanding=max_outstanding)

    def check(self) -> None:
        """See that its members can be sent, and those of batches in it. Raises InvalidPayload."""
        check_members(self.runtime, self.members)

    def dispatch_in(self, parent: JobGroup) -> JobGroup:
        """The same, as a member of ``parent``."""
        return self._dispatch(parent)

    def _dispatch(self, parent: Any, **more: Any) -> JobGroup:
        # What is refused here leaves nothing behind.
        self.check()
        batch = Groups(self.runtime).create_batch(
            callbacks=self.callbacks, parent=parent, on_failure=self.on_failure, **self.about
        )
        # Held open while it is filled: should this process die, the checker seals it when the hold has ended.
        with batch.filling():
            count_in_parent(self.runtime, batch.record)
            self._fill(batch, **more)
        return batch

    def _fill(self, batch: JobGroup, **more: Any) -> None:
        try:
            send_members(self.runtime, batch, self.members, **more, options=self.options)
        except GroupCancelled:
            if batch.refresh().state is not GroupState.CANCELLED:
                raise
            # Somebody cancelled it, or its first failure did: what was not sent is missing if it runs again.
            batch.seal(incomplete=True)
        else:
            batch.seal()

    def _with_callback(self, kind: CallbackKind, signature: Any, *, every: int = 0) -> PendingBatch:
        callbacks = one_more(self.runtime, self.callbacks, kind, signature, every=every)
        return replace(self, callbacks=callbacks)
