"""What Redis's errors mean to the callers of a store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from redis import exceptions
from redis.sentinel import MasterNotFoundError

from celery_jobtrack.errors import SchemaMismatch, StoreUnavailable
from celery_jobtrack.strategies.redis.fields import STATES

if TYPE_CHECKING:
    from celery_jobtrack.strategies.redis.urls import Place

# By the word with which the server begins, which older ones put behind the name of the script.
_MEANINGS = {
    "NOAUTH": "it needs a password; write it into the URL: {with_password}",
    "WRONGPASS": "the user or the password in the URL is wrong",
    "NOPERM": "this user may not do that; it needs +@all and the keys {{jobtrack:{namespace}}}*",
    "READONLY": "this is a read-only replica; name its master, or the sentinels that know it",
    "OOM": "it is full (maxmemory): nothing new is recorded until there is room; raise maxmemory, or "
    "prune what is old",
    "LOADING": "it is still loading its data",
    "MISCONF": "it cannot write its data to disk, so it refuses to change it; its log says why",
    "BUSY": "it is busy with somebody's script",
    "MASTERDOWN": "this is a replica, and its master is away",
    "CLUSTERDOWN": "the cluster is down: a slot has no node",
    "TRYAGAIN": "the cluster is moving our slot to another node",
    "ASK": "the cluster is moving our slot to another node",
    "MOVED": "it is a node of a cluster: write redis+cluster:// in front of its address",
    "NOREPLICAS": "it has too few replicas to be allowed to write (min-replicas-to-write)",
}
_WORD = re.compile(r"\b(" + "|".join(_MEANINGS) + r")\b")
_ILLEGAL = re.compile(r"JOBTRACK illegal (\d+) (\d+)")
_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (exceptions.ReadOnlyError, "READONLY"),
    (exceptions.BusyLoadingError, "LOADING"),
    (exceptions.MovedError, "MOVED"),
    (exceptions.AskError, "ASK"),
    (exceptions.ClusterDownError, "CLUSTERDOWN"),
)


def translate(error: Exception, place: Place, namespace: str) -> Exception:
    """The error that a caller of the store should see.

    Args:
        error: What redis-py raised.
        place: The store's; its password does not get into the message.
        namespace: The store's.
    """
    text = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    illegal = _ILLEGAL.search(text)
    if illegal is not None:
        names = {code: state.value for state, code in STATES.items()}
        before, after = (names.get(int(code)) for code in illegal.groups())
        return ValueError(f"a job cannot move from {before} to {after}: see TRANSITIONS")
    if "WRONGTYPE" in text:
        return SchemaMismatch(f"{place.shown}: {_foreign(namespace)}")
    meaning = _meaning(error, text)
    if meaning == _MEANINGS["MOVED"] and place.kind == "cluster":
        meaning = _MEANINGS["ASK"]
    if meaning is not None:
        told = meaning.format(namespace=namespace, with_password=_with_password(place))
        return StoreUnavailable(f"{place.shown}: {told}")
    if place.kind == "sentinel" and "unknown command" in text and "SENTINEL" in text:
        return StoreUnavailable(
            f"{place.shown}: a Redis answers there that is no sentinel; name the sentinels, whose usual port "
            "is 26379, or write redis:// in front of its address"
        )
    if isinstance(error, MasterNotFoundError):
        # What redis-py says after the name is the state of its objects.
        return StoreUnavailable(
            f"{place.shown}: {text.partition(' : ')[0]}; check that the sentinels run, and that they know a "
            "master of this name"
        )
    missing = _missing_file(place)
    if missing is not None:
        return StoreUnavailable(f"{place.shown}: {missing}")
    if isinstance(error, exceptions.TimeoutError):
        return StoreUnavailable(f"{place.shown} does not answer in time: {text}{_tls_hint(place)}")
    if isinstance(error, exceptions.ConnectionError):
        said = text.rstrip(".")
        return StoreUnavailable(
            f"{place.shown}: {said}; check that the server runs and that its URL is right{_tls_hint(place)}"
        )
    return StoreUnavailable(f"{place.shown}: {text}")


def _with_password(place: Place) -> str:
    """How a URL of this kind is written with a password."""
    scheme = place.shown.partition("://")[0]
    return "unix://:password@/path" if scheme == "unix" else f"{scheme}://:password@host"


def _missing_file(place: Place) -> str | None:
    """Which file of an encrypted connection is not there; redis-py's error does not name it."""
    for option in ("ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile") if place.encrypted else ():
        name = place.options.get(option)
        if name and not Path(name).exists():
            return f"the file {name!r} that {option} names is not there"
    return None


def _tls_hint(place: Place) -> str:
    return "; it is asked with TLS: check that this port speaks that" if place.encrypted else ""


def _meaning(error: Exception, text: str) -> str | None:
    for kind, word in _KINDS:
        if isinstance(error, kind):
            return _MEANINGS[word]
    found = _WORD.search(text)
    if found is not None:
        return _MEANINGS[found.group(1)]
    lower = text.lower()
    if "invalid username-password" in lower or "invalid password" in lower:
        return _MEANINGS["WRONGPASS"]
    if "authentication required" in lower:
        return _MEANINGS["NOAUTH"]
    if isinstance(error, exceptions.OutOfMemoryError) or "maxmemory" in lower:
        return _MEANINGS["OOM"]
    if "db index is out of range" in lower:
        return "it has no database of the number in the URL; by default there are 16 of them, 0 to 15"
    if "loading the dataset" in lower:
        return _MEANINGS["LOADING"]
    if isinstance(error, exceptions.NoPermissionError):
        return _MEANINGS["NOPERM"]
    return None


def mismatch(place: Place, namespace: str, layout: str, ours: int) -> SchemaMismatch:
    """For a namespace whose keys this code cannot use."""
    if layout == "foreign":
        return SchemaMismatch(f"{place.shown}: {_foreign(namespace)}")
    return SchemaMismatch(
        f"{place.shown}: the keys of namespace {namespace!r} have layout {layout}, and this code writes "
        f"layout {ours}; use the version of celery-jobtrack that wrote them, or another jobtrack_namespace"
    )


def _foreign(namespace: str) -> str:
    return (
        f"a key {{jobtrack:{namespace}}} is there that is not celery-jobtrack's; set another "
        "jobtrack_namespace, or another database in the URL"
    )
