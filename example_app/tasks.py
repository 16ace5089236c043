"""The tasks: one job per file, one per directory."""

from pathlib import Path

from celery_jobtrack import TrackableTask
from example_app import ledger, sources
from example_app.app import app


@app.task(name="census.measure", base=TrackableTask, bind=True, group_required=True, max_retries=5)
def measure(self: TrackableTask, path: str) -> None:
    """Count lines, functions, classes and imports of a file. One that is no valid Python fails."""
    try:
        sources.require_settled(Path(path))
    except sources.StillBeingWrittenError as error:
        raise self.retry(exc=error, countdown=error.seconds) from None
    ledger.add(self.job_group.id, "files", path=path, **sources.measure(Path(path)))


@app.task(name="census.weigh", base=TrackableTask, bind=True, group_required=True)
def weigh(self: TrackableTask, directory: str) -> None:
    """Add up the bytes of a directory's source files, without those further down."""
    sizes = [path.stat().st_size for path in sources.files_in(Path(directory))]
    ledger.add(self.job_group.id, "directories", path=directory, bytes=sum(sizes))
