"""What is compared: in each variant only what its name says differs from ``bare``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.case import Case

if TYPE_CHECKING:
    from pathlib import Path

BARE = "bare"
SINGLETON = "celery-singleton"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One way to run the same jobs."""

    name: str
    about: str
    server: str | None = None
    """The server that it needs beside the broker, where results or jobs are recorded."""
    backend: str | None = None
    """The result backend; ``{url}`` is a fresh database of the server. None: results are ignored."""
    store: str | None = None
    """The store of celery-jobtrack; ``{url}`` as above, ``{folder}`` is a fresh folder."""
    grouped: bool = False
    lock: str | None = None
    """Who sees to it that no job runs beside one with the same arguments; all have other ones."""
    django: bool = False
    options: tuple[str, ...] = ()
    """More options of ``celery worker``."""
    compared: bool = True
    """Whether ``workers`` runs it; the others are for ``profile``."""

    def case(self, *, broker: str, url: str, folder: Path, heard: str | None = None) -> Case:
        """This variant on a broker and a fresh database."""
        conf: dict[str, Any] = {
            "broker_url": broker,
            "broker_connection_retry_on_startup": True,
            "task_ignore_result": self.backend is None,
        }
        if self.backend is not None:
            conf["result_backend"] = self.backend.format(url=url)
        if self.store is not None:
            conf["jobtrack_strategy"] = self.store.format(url=url, folder=folder)
        marks = folder / "marks"
        marks.mkdir()
        return Case(
            marks=str(marks),
            conf=conf,
            tracked=self.store is not None,
            grouped=self.grouped,
            lock=self.lock if self.lock != SINGLETON else f"{SINGLETON} {url}",
            heard=heard,
            django=url if self.django else None,
        )


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(name=BARE, about="Celery alone; results ignored"),
        Variant(name="redis-backend", about="Celery's Redis result backend", server="redis", backend="{url}"),
        Variant(
            name="postgresql-backend",
            about="Celery's SQLAlchemy result backend on PostgreSQL",
            server="postgresql",
            backend="db+{url}",
        ),
        Variant(
            name="django-celery-results",
            about="django-celery-results on PostgreSQL, as it comes",
            server="postgresql",
            backend="django-db",
            django=True,
        ),
        Variant(name="events", about="Celery's monitoring events (worker -E)", options=("-E",)),
        Variant(name="jobtrack-redis", about="tracked, on Redis", server="redis", store="{url}"),
        Variant(
            name="jobtrack-redis-lock",
            about="tracked, on Redis, without_overlapping: a key for each job",
            server="redis",
            store="{url}",
            lock="jobtrack",
        ),
        Variant(
            name=SINGLETON,
            about="celery-singleton on Redis: a key for each job; not tracked",
            server="redis",
            lock=SINGLETON,
        ),
        Variant(
            name="jobtrack-redis-group",
            about="tracked, on Redis, all jobs in one group",
            server="redis",
            store="{url}",
            grouped=True,
        ),
        Variant(
            name="jobtrack-postgresql", about="tracked, on PostgreSQL", server="postgresql", store="{url}"
        ),
        Variant(
            name="jobtrack-postgresql-lock",
            about="tracked, on PostgreSQL, without_overlapping: a key for each job",
            server="postgresql",
            store="{url}",
            lock="jobtrack",
        ),
        Variant(
            name="jobtrack-postgresql-group",
            about="tracked, on PostgreSQL, all jobs in one group",
            server="postgresql",
            store="{url}",
            grouped=True,
        ),
        Variant(
            name="jobtrack-memory",
            about="tracked, in memory: what tracking costs beside its store",
            store="memory://",
            compared=False,
        ),
        Variant(name="jobtrack-sqlite", about="tracked, on SQLite", store="sqlite:///{folder}/jobs.db"),
    )
}
"""In the order in which each round runs them."""
