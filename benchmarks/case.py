"""What one measurement's processes have in common; it travels to them in the environment."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from typing_extensions import Self

VARIABLE = "JOBTRACK_BENCHMARK"
DJANGO_SETTINGS = "benchmarks.django_settings"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One app: its settings, and where its jobs leave their marks."""

    marks: str
    """The folder of the marks."""
    conf: dict[str, Any]
    """Celery's configuration."""
    tracked: bool = False
    """Whether the task is a tracked one."""
    grouped: bool = False
    """Whether all jobs are members of one group."""
    lock: str | None = None
    """Who keeps jobs with the same arguments apart: "jobtrack", or "celery-singleton" and its Redis."""
    heard: str | None = None
    """The file in which a listener notes when each group completed."""
    followed: str | None = None
    """The file in which the task that follows on the others notes when it began."""
    django: str | None = None
    """URL of Django's database, for an app with Django."""

    def environment(self) -> dict[str, str]:
        """The environment of this measurement's processes."""
        own = {VARIABLE: json.dumps(asdict(self)), "C_FORCE_ROOT": "1"}
        if self.django is not None:
            own["DJANGO_SETTINGS_MODULE"] = DJANGO_SETTINGS
        return {**os.environ, **own}

    @classmethod
    def here(cls) -> Self:
        """The case of this process."""
        return cls(**json.loads(os.environ[VARIABLE]))
