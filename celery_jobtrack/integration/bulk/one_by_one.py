"""Dispatches where there is nothing to gain: eager apps, and apps whose tracking is off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.bulk.members import naming
from celery_jobtrack.model.state import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.integration.bulk.account import Account
    from celery_jobtrack.integration.bulk.packing import Packer
    from celery_jobtrack.integration.runtime import Runtime
    from celery_jobtrack.model.dispatched import Dispatched


class OneByOne:
    """``apply_async`` of each signature.

    Args:
        runtime: The app's.
        packer: Knows the signatures' tasks, ids and options.
        account: Counts what was sent.
    """

    def __init__(self, runtime: Runtime, packer: Packer, account: Account) -> None:
        self._runtime = runtime
        self._packer = packer
        self._account = account

    def run(self, items: Iterator[Any], chunk: int) -> Iterator[Dispatched]:
        """Send them, and report after each chunk."""
        account = self._account
        for item in items:
            number = account.read()
            with naming(number):
                sent = self._send(item, number)
            account.count(sent=int(sent), known=int(not sent))
            if account.total % chunk == 0:
                yield account.report()
        if account.total % chunk:
            yield account.report()

    def _send(self, item: Any, number: int) -> bool:
        whole = self._packer.whole(item)
        if whole is not None:
            whole()
            return True
        call = self._packer.call(item, number)
        if self._runtime.enabled and self._is_known(call.job_id):
            return False
        call.apply_async()
        return True

    def _is_known(self, job_id: str) -> bool:
        job = self._runtime.store.job(job_id) if self._packer.is_repeatable else None
        return job is not None and job.reason is not Reason.PUBLISH_FAILED
