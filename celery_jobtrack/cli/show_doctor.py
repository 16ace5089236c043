"""What the doctor found, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from celery_jobtrack.cli.clean import clean

if TYPE_CHECKING:
    from celery_jobtrack.tracking.doctor import Diagnosis, Finding


def diagnosis_lines(diagnosis: Diagnosis, *, repair: bool) -> Group:
    """A line for each finding, and one for all."""
    lines = [_line(finding) for finding in diagnosis.findings]
    if diagnosis.broker_error is not None:
        unasked = f"The broker could not be asked for messages: {clean(diagnosis.broker_error)}"
        lines.append(Text(unasked, style="yellow"))
    return Group(*lines, Text(_sum(diagnosis, repair=repair)))


def _line(finding: Finding) -> Text:
    # Ids in it shall be copied whole: it is not wrapped by us.
    line = Text(no_wrap=True, overflow="ignore")
    line.append(f"{finding.fault.kind}: ", style="green" if finding.repaired else "red")
    line.append(clean(finding.fault.text))
    if finding.outcome:
        line.append(f" \N{RIGHTWARDS ARROW} {clean(finding.outcome)}", style="dim")
    return line


def _sum(diagnosis: Diagnosis, *, repair: bool) -> str:
    records = (
        f"{diagnosis.examined:,} {'record was' if diagnosis.examined == 1 else 'records were'} looked at"
    )
    number = len(diagnosis.findings)
    if not number:
        return f"All is well: {records}."
    found = "1 fault" if number == 1 else f"{number:,} faults"
    if not repair:
        return f"{found} found, {records}. Mend with --repair."
    left = sum(not finding.repaired for finding in diagnosis.findings)
    mended = f"{number - left:,} mended" + (f", {left:,} not" if left else "")
    return f"{found} found, {mended}; {records}."
