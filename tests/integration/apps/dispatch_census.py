"""Run as a program: dispatches a census of the directory that is given, and prints its group's id."""

import sys
from pathlib import Path

from example_app import sources
from example_app.tasks import measure
from tests.integration.apps.quick_census import app, jobtrack

group = jobtrack.groups.create("Census to be disturbed")
with group.filling():
    for path in sources.find(Path(sys.argv[1])).files:
        measure.job(str(path)).in_group(group).dispatch()
print(group.id)
jobtrack.close()
app.close()
