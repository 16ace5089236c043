"""What is kept of a job's message, so that the job can be published again from the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery.app.amqp import task_message
from kombu.utils.json import dumps, loads

from celery_jobtrack.integration.header import Header
from celery_jobtrack.integration.serialised import as_text, from_text, read

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
_OPTIONS = (
    "queue",
    "exchange",
    "routing_key",
    "priority",
    "delivery_mode",
    "compression",
    "serializer",
    "expiration",
)


def pack(task: str, message: task_message, body: tuple[str, str, Any], options: Mapping[str, Any]) -> bytes:
    """The task, its body, headers and options in one piece; not the broker's envelope."""
    content_type, encoding, data = body
    text, binary = as_text(data)
    kept = {
        "v": VERSION,
        "task": task,
        "headers": message.headers,
        "properties": message.properties,
        "type": content_type,
        "encoding": encoding,
        "body": text,
        "binary": binary,
        "options": {name: _plain(options[name]) for name in _OPTIONS if options.get(name) is not None},
    }
    packed: str = dumps(kept)
    return packed.encode("utf-8", "surrogatepass")


class Kept:
    """A message that was kept."""

    def __init__(self, packed: bytes) -> None:
        self._kept = kept = loads(packed.decode("utf-8", "surrogatepass"))
        self.task: str = kept["task"]
        self.headers: dict[str, Any] = kept["headers"]
        self.options: dict[str, Any] = kept["options"]
        self._properties = kept["properties"]
        data = from_text(kept["body"], binary=kept["binary"])
        self.body = read(data, kept["type"], kept["encoding"])

    def pack(self) -> bytes:
        """In one piece again, with ``headers`` and ``options`` as they are now."""
        packed: str = dumps({**self._kept, "headers": self.headers, "options": self.options})
        return packed.encode("utf-8", "surrogatepass")

    def message(self) -> task_message:
        """As Celery's publishing takes it."""
        return task_message(self.headers, self._properties, self.body, None)

    @property
    def embed(self) -> dict[str, Any]:
        """Callbacks, errbacks, chain and chord."""
        return self.body[2] or {} if isinstance(self.body, (list, tuple)) and len(self.body) > 2 else {}  # noqa: PLR2004

    def followers(self) -> tuple[str, ...]:
        """Ids of the tasks that only this one's success publishes: its chain's, its chord's body."""
        header = Header.load(self.headers)
        if header is not None and header.flow is not None:
            return header.part_of
        if not self.headers.get("replaced_task_nesting"):
            # What else follows is not recorded before it is published.
            return ()
        signatures = [*(self.embed.get("chain") or ()), self.embed.get("chord") or {}]
        ids = ((signature.get("options") or {}).get("task_id") for signature in signatures)
        return tuple(job_id for job_id in ids if job_id)


def _plain(option: Any) -> Any:
    # Queues and exchanges may be given as kombu objects: their name finds them again.
    return getattr(option, "name", option)
