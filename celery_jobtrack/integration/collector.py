"""Messages that Celery has made and nobody has sent: to be recorded and sent by many at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from celery_jobtrack.integration.publish import Publication


class Collector:
    """Takes the messages of given jobs; whatever else is sent meanwhile goes out as ever.

    Args:
        job_ids: Whose messages are taken.
    """

    def __init__(self, *job_ids: str) -> None:
        self._job_ids = frozenset(job_ids)
        self.taken: list[Publication] = []
        """In the order in which they were made."""

    def takes(self, publication: Publication) -> bool:
        """Take a message, or say that it is not wanted."""
        if publication.job_id not in self._job_ids:
            return False
        self.taken.append(publication)
        return True
