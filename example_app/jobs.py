"""The class-style jobs: found by ``jobtrack.autodiscover``, dispatched by class or by name."""

import hashlib
from collections import defaultdict
from pathlib import Path

from celery_jobtrack import Job
from example_app import ledger, sources


class FindDuplicates(Job):
    """Find the files of a tree that hold the same. Its name is ``find-duplicates``."""

    group_required = True

    def run(self) -> None:
        found = sources.find(Path(self.get("tree"))).files[: self.get("limit", None)]
        same: dict[bytes, list[str]] = defaultdict(list)
        for number, path in enumerate(found, start=1):
            same[hashlib.sha256(path.read_bytes()).digest()].append(str(path))
            self.progress(number, len(found), "files")  # Throttled: it may be called as often as one likes.
        for paths in same.values():
            if len(paths) > 1:
                ledger.add(self.job_group.id, "duplicates", paths=sorted(paths))


class WriteReport(Job):
    """Add up a census that is complete. Its name is ``write-report``."""

    def run(self) -> None:
        census = self.get("census")
        # A job can run twice (its worker was killed, say): what counts is the last word on each path.
        files = {row["path"]: row for row in ledger.rows(census, "files")}
        directories = {row["path"]: row for row in ledger.rows(census, "directories")}
        duplicates = {tuple(row["paths"]) for row in ledger.rows(census, "duplicates")}
        totals = {figure: sum(row[figure] for row in files.values()) for figure in sources.FIGURES}
        ledger.write(
            census,
            "report",
            files=len(files),
            **totals,
            directories=len(directories),
            bytes=sum(row["bytes"] for row in directories.values()),
            duplicates=sum(len(paths) - 1 for paths in duplicates),
        )
