"""What is said of an id that is not recorded. It names the namespace: the id may well be in another one."""

from __future__ import annotations

from celery_jobtrack.errors import UnknownGroup, UnknownJob


def unknown_job(job_id: object, namespace: str, *, so: str = "") -> UnknownJob:
    """The error for a job.

    Args:
        job_id: Its id.
        namespace: Where it was looked for.
        so: What cannot be done therefore.
    """
    said = f"job {job_id!r} was never recorded in namespace {namespace!r}"
    return UnknownJob(f"{said}, so it {so}" if so else said)


def unknown_group(group_id: object, namespace: str) -> UnknownGroup:
    """The error for a group.

    Args:
        group_id: Its id.
        namespace: Where it was looked for.
    """
    return UnknownGroup(
        f"group {group_id!r} is not recorded in namespace {namespace!r}; create it with "
        "jobtrack.groups.create()"
    )
