"""Which strategies an app and its tasks use."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from celery_jobtrack.errors import ConfigurationError, StrategyNotFound
from celery_jobtrack.strategies.contract import Store
from celery_jobtrack.strategies.tracking_strategy import TrackingStrategy

if TYPE_CHECKING:
    from collections.abc import Mapping

SQL_SCHEMES = ("sqlite", "postgresql", "postgres", "mysql", "mariadb")
REDIS_SCHEMES = ("redis", "rediss", "unix", "redis+socket", "sentinel", "redis+cluster", "rediss+cluster")
NAMES = "a URL (memory://, sqlite:///file.db, postgresql+psycopg://…, mysql+pymysql://…, redis://…), an "
NAMES += "import path 'package.module:Class', a TrackingStrategy class or an instance of one"

_BACKEND, _BROKER = "result_backend", "broker_url"
_TRANSPORT_OPTIONS = {_BACKEND: "result_backend_transport_options", _BROKER: "broker_transport_options"}
_TLS = {_BACKEND: "redis_backend_use_ssl", _BROKER: "broker_use_ssl"}


@dataclass(frozen=True, slots=True)
class Resolved:
    """The app's store, which always records, and a plain strategy that is told too."""

    store: Store
    listener: TrackingStrategy | None = None


def resolve(strategy: Any, conf: Mapping[str, Any], *, namespace: str) -> Resolved:
    """The store and the plain strategy that an app's settings name or imply.

    Args:
        strategy: ``jobtrack_strategy``, or None.
        conf: Celery's configuration, from which the store is inferred: ``result_backend`` first,
            then ``broker_url``.
        namespace: Keeps several apps apart in one store.

    Raises:
        StrategyNotFound: Nothing is named and nothing can be inferred.
        ConfigurationError: What is named is not a strategy.
    """
    if strategy is None:
        return Resolved(_infer(conf, namespace))
    if isinstance(strategy, str) and "://" in strategy:
        return Resolved(_store_of(strategy, namespace, conf))
    made = plain_strategy(strategy, "jobtrack_strategy")
    if isinstance(made, Store):
        return Resolved(made)
    return Resolved(_infer(conf, namespace), made)


def task_strategy(strategy: Any, task_name: str) -> TrackingStrategy:
    """The plain strategy of one task.

    Raises:
        ConfigurationError: It is not a strategy, or it is a full store: an app has one store.
    """
    where = f"tracking_strategy of task {task_name!r}"
    if isinstance(strategy, str) and "://" in strategy:
        raise ConfigurationError(
            f"{where} is the URL of a store; set jobtrack_strategy: an app has one store"
        )
    made = plain_strategy(strategy, where)
    if isinstance(made, Store):
        raise ConfigurationError(f"{where} is a Store; set it as jobtrack_strategy: an app has one store")
    return made


def plain_strategy(strategy: Any, where: str) -> TrackingStrategy:
    """An instance of what an import path, a class or an instance names.

    Raises:
        ConfigurationError: It does not name a ``TrackingStrategy``; says what was found ``where``.
    """
    found = _imported(strategy, where) if isinstance(strategy, str) else strategy
    if isinstance(found, type) and issubclass(found, TrackingStrategy):
        missing = sorted(getattr(found, "__abstractmethods__", ()))
        if missing:
            raise ConfigurationError(f"{where} = {found.__qualname__} does not define {', '.join(missing)}()")
        return found()
    if isinstance(found, TrackingStrategy):
        return found
    raise ConfigurationError(f"{where} = {strategy!r} is not a strategy; it must be {NAMES}")


def _imported(path: str, where: str) -> Any:
    module_name, _, attribute = path.partition(":") if ":" in path else path.rpartition(".")
    if not module_name or not attribute:
        raise ConfigurationError(f"{where} = {path!r} is not a strategy; it must be {NAMES}")
    try:
        return getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{where} = {path!r} cannot be imported: {error}") from error


def _store_of(url: str, namespace: str, conf: Mapping[str, Any], of: str | None = None) -> Store:
    """The store of a URL; ``of`` is the setting of Celery that it comes from, if it does."""
    scheme = url.partition("://")[0]
    if scheme in REDIS_SCHEMES:
        return _redis(url, namespace, conf, of)
    base = scheme.removeprefix("db+").removeprefix("sqla+").partition("+")[0]
    if base == "memory":
        from celery_jobtrack.strategies.memory import MemoryStore

        return MemoryStore(namespace=namespace)
    if base in SQL_SCHEMES:
        from celery_jobtrack.strategies.sql import SqlStore

        return SqlStore(url.removeprefix("db+").removeprefix("sqla+"), namespace=namespace)
    raise ConfigurationError(
        f"jobtrack_strategy = {scheme + '://…'!r}: no store has this scheme; it must be {NAMES}"
    )


def _redis(url: str, namespace: str, conf: Mapping[str, Any], of: str | None) -> Store:
    try:
        from celery_jobtrack.strategies.redis import RedisStore
    except ImportError as error:
        if error.name is None or error.name.partition(".")[0] not in {"redis", "msgpack"}:
            raise
        raise ConfigurationError(
            f"{url.partition('://')[0]}:// needs packages that are not installed: "
            "pip install 'celery-jobtrack[redis]'"
        ) from error
    return RedisStore(url, namespace=namespace, options=_redis_options(conf, of))


def _redis_options(conf: Mapping[str, Any], of: str | None) -> dict[str, Any]:
    """What Celery's settings say of sentinels and of encryption.

    A URL of our own takes the sentinels' options from wherever they stand, and no other setting: it may
    name another server than Celery's.
    """
    options: dict[str, Any] = {}
    for setting in (_BACKEND, _BROKER) if of is None else (of,):
        given = conf.get(_TRANSPORT_OPTIONS[setting]) or {}
        for name in ("master_name", "sentinel_kwargs"):
            if name in given:
                options.setdefault(name, given[name])
    if of is not None and isinstance(conf.get(_TLS[of]), dict):
        options["ssl"] = conf[_TLS[of]]
    return options


def _infer(conf: Mapping[str, Any], namespace: str) -> Store:
    tried = []
    for setting in (_BACKEND, _BROKER):
        value = conf.get(setting)
        url = value[0] if isinstance(value, (list, tuple)) and value else value
        if not isinstance(url, str) or not url:
            tried.append(f"{setting} (not set)")
            continue
        # Several brokers stand side by side, and so do the sentinels of one.
        implied = _implied(url if url.startswith("sentinel:") else url.split(";")[0], conf)
        if implied is not None:
            return _store_of(implied, namespace, conf, setting)
        tried.append(f"{setting} ({url.partition(':')[0]}: no store of this kind)")
    raise StrategyNotFound(
        f"no store for celery-jobtrack: tried jobtrack_strategy (not set), {', '.join(tried)}. "
        "Set one, for example: app.conf.jobtrack_strategy = 'sqlite:///jobs.db'"
    )


def _implied(url: str, conf: Mapping[str, Any]) -> str | None:
    scheme = url.partition("://")[0] if "://" in url else url.partition(":")[0]
    if scheme in {"memory", "cache+memory"}:
        return "memory://"
    if scheme.startswith(("db+", "sqla+")):
        return url.partition("+")[2]
    if scheme in REDIS_SCHEMES:
        return url
    if scheme == "filesystem":
        return f"sqlite:///{_quoted(_beside_the_folders(url, conf) / 'jobtrack.db')}"
    return None


def _beside_the_folders(url: str, conf: Mapping[str, Any]) -> Path:
    """The folder of a file system broker: ``filesystem:///jobs`` is ./jobs, four slashes are absolute."""
    options = conf.get("broker_transport_options") or {}
    path = url.partition("://")[2].partition("?")[0].partition("/")[2]
    folder = options.get("folder") or unquote(path)
    if folder and folder != "/":
        return Path(folder)
    return Path(options.get("data_folder_in") or "data_in").parent


def _quoted(path: Path) -> str:
    # A "?" would begin the URL's query.
    if "?" in str(path):
        raise ConfigurationError(
            f"the folder of the file system broker, {str(path.parent)!r}, has a '?' in its name, so no "
            "store can be named beside it; rename it, or set jobtrack_strategy"
        )
    return str(path)
