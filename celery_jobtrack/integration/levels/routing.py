"""Routing that knows the levels: a queue that is asked for by a name must be one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from celery.app.routes import MapRoute, Router

from celery_jobtrack.errors import UnknownQueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery_jobtrack.integration.levels.app_levels import AppLevels


class LevelRouter(Router):
    """Celery's router. What ``task_routes`` say is followed as ever, and goes before the default."""

    queues: Any
    routes: Any

    def __init__(self, levels: AppLevels, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._levels = levels

    def route(self, options: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        """Find where a message goes. Raises UnknownQueue."""
        queue = options.get("queue")
        if isinstance(queue, str) and queue:
            self._refuse_unknown(queue)
        return super().route(options, name, *args, **kwargs)

    def _refuse_unknown(self, queue: str) -> None:
        if queue in self.queues or queue in self.queues.aliases or queue in set(self._routed()):
            return
        names = sorted({*self.queues, *self.queues.aliases})
        near = difflib.get_close_matches(queue, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(map(repr, names))}"
        raise UnknownQueue(
            f"{queue!r} is no level of jobtrack_queues, no alias of one and no queue of the app; {hint}"
        )

    def _routed(self) -> Iterator[str]:
        """The queues that ``task_routes`` name, which Celery makes when they are first used."""
        for router in self.routes:
            if isinstance(router, MapRoute):
                given: Any = router
                for route in (*given.map.values(), *given.patterns.values()):
                    queue = route if isinstance(route, str) else dict(route).get("queue")
                    if queue is not None:
                        yield str(getattr(queue, "name", queue))
