"""Deletes single jobs: one script."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.fields import COMING_BACK, NOT_ENDED
from celery_jobtrack.strategies.redis.group_records import title_of
from celery_jobtrack.strategies.redis.ids import pack_id
from celery_jobtrack.strategies.redis.job_records import load_job
from celery_jobtrack.strategies.redis.lock_records import load_ids
from celery_jobtrack.strategies.refusals import awaited_member, coming_back, not_ended
from celery_jobtrack.strategies.unknown import unknown_job

if TYPE_CHECKING:
    from collections.abc import Sequence


class Forgetting(RedisBase):
    """``forget_job``."""

    def forget_job(self, job_id: str) -> Sequence[str]:
        code, *found = self._ask("forget_job", pack_id(job_id))
        if code == 1:
            return load_ids(found[0])
        if code == 0:
            raise unknown_job(job_id, self._namespace, so="cannot be forgotten")
        job = load_job(job_id, found[0])
        if code == NOT_ENDED:
            raise not_ended(job)
        if code == COMING_BACK:
            raise coming_back(job)
        raise awaited_member(job, title_of(found[1]))
