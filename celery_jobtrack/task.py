"""The base classes that users give their tasks."""

from __future__ import annotations

from typing import Any

from celery_jobtrack.features.dispatch import DispatchingTask
from celery_jobtrack.jobtrack import JobTrack


class TrackableTask(DispatchingTask):
    """Base class for tasks whose jobs are recorded: ``@app.task(base=TrackableTask)``.

    ``delay``, ``apply_async``, ``s()``, canvas, retries and eager mode stay as they are.
    ``apply_async`` takes two more options: ``job_group=`` (a group or its id) and ``tags=``. The
    first such task installs tracking on its app, with the app's settings.

    Example::

        @app.task(base=TrackableTask, bind=True)
        def resize(self, path):
            for n, tile in enumerate(tiles):
                self.progress(n + 1, len(tiles), "tiles")
    """

    abstract = True

    @classmethod
    def bind(cls, app: Any) -> Any:
        """Bind to an app, and see that tracking is installed there."""
        JobTrack.of(app)
        return super().bind(app)
