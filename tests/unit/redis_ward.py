"""A Redis store whose keys a test changes by hand, and a doctor who looks at it."""

from __future__ import annotations

from typing import Any

import msgpack

from celery_jobtrack.strategies.redis.fields import ATTEMPT, GROUP, JOB, STATES
from tests.contract.ward import Ward

ROOT = "{jobtrack:default}"


class KeysWard(Ward):
    """One with a hand in its keys."""

    def __init__(self, store: Any, client: Any) -> None:
        super().__init__(store)
        self.client = client

    def snapshot(self):
        # The list of queues is kept by whoever asks which are overdue.
        return {key: self.client.dump(key) for key in self.client.scan_iter() if not key.endswith(b":q")}

    def key(self, name):
        return f"{ROOT}{name}"

    def delete(self, name):
        assert self.client.delete(self.key(name)), f"there is no {name}"

    def change_job(self, job_id, state=None, **values):
        key = self.key(f":j:{job_id}")
        job = msgpack.unpackb(self.client.get(key), raw=True, strict_map_key=False)
        job[0] = job[0] if state is None else STATES[state]
        for name, value in values.items():
            job[2][JOB[name]] = value
        self.client.set(key, msgpack.packb(job, use_bin_type=False))

    def change_attempt(self, job_id, **values):
        key = self.key(f":j:{job_id}")
        job = msgpack.unpackb(self.client.get(key), raw=True, strict_map_key=False)
        attempt = job[2][JOB["attempt"]]
        attempt = dict(enumerate(attempt, 1)) if isinstance(attempt, list) else attempt
        attempt.update({ATTEMPT[name]: value for name, value in values.items()})
        job[2][JOB["attempt"]] = attempt
        self.client.set(key, msgpack.packb(job, use_bin_type=False))

    def change_group(self, group_id, **values):
        key = self.key(f":g:{group_id}")
        group = msgpack.unpackb(self.client.get(key), raw=True, strict_map_key=False)
        group = dict(enumerate(group, 1)) if isinstance(group, list) else group
        for name, value in values.items():
            if value is None:
                group.pop(GROUP[name], None)
            else:
                group[GROUP[name]] = value
        self.client.set(key, msgpack.packb(group, use_bin_type=False))
