"""Dispatches where there is nothing to gain: eager apps, and apps whose tracking is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.bulk.members import naming

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.integration.bulk.account import Account
    from celery_jobtrack.integration.bulk.packing import Packer
    from celery_jobtrack.integration.bulk.recording import Recording
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.dispatched import Dispatched


class OneByOne:
    """``apply_async`` of each signature.

    Args:
        runtime: The app's.
        packer: Knows the signatures' tasks, ids and options.
        account: Counts what was sent.
        recording: Knows what was sent before.
    """

    def __init__(self, runtime: Runtime, packer: Packer, account: Account, recording: Recording) -> None:
        self._runtime = runtime
        self._packer = packer
        self._account = account
        self._recording = recording

    def run(self, items: Iterator[Any], chunk: int) -> Iterator[Dispatched]:
        """Send them, and report after each chunk."""
        account = self._account
        for item in items:
            number = account.read()
            with naming(number):
                call = self._packer.call(item, number)
                if self._runtime.enabled and self._recording.is_known(call.job_id):
                    account.count(known=1)
                else:
                    call.apply_async()
                    account.count(sent=1)
            if account.total % chunk == 0:
                yield account.report()
        if account.total % chunk:
            yield account.report()
