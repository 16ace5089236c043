"""Which functions may be run by name: what is asked for, and what that really is, must both be approved.

A message that names a function is a way to run code for whoever can send one. So a name is approved by
pattern, and then what it leads to is asked where it really comes from: ``shop.services:system`` may be
``os.system``, imported there.
"""

from __future__ import annotations

import importlib
import inspect
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from celery_jobtrack.errors import InvalidPayload, NotApproved

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Approval:
    """The allow-list of one app.

    Args:
        patterns: ``"module:name"`` each, with ``*`` and ``?`` as in file names: ``"shop.services:*"``.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = tuple(patterns)

    def resolve(self, path: str) -> Callable[..., Any]:
        """The function that a path names, ready to be called.

        A method that is named through its class is that of a new instance, made without arguments.

        Args:
            path: ``"module:function"`` or ``"module:Class.method"``.

        Raises:
            InvalidPayload: It is no path, or leads nowhere.
            NotApproved: It, or what it leads to, is not approved.
        """
        module_name, names = _parted(path)
        # Before the import: importing a module runs it.
        self._check(path, path)
        owner, found = _found(path, module_name, names)
        self._check(path, real_path(path, found))
        if inspect.isclass(owner) and inspect.isfunction(found) and not _is_static(owner, names[-1]):
            method: Callable[..., Any] = getattr(owner(), names[-1])
            return method
        function: Callable[..., Any] = found
        return function

    def _check(self, path: str, real: str) -> None:
        if any(fnmatchcase(real, pattern) for pattern in self._patterns):
            return
        known = ", ".join(map(repr, self._patterns)) or "none"
        is_really = "" if real == path else f", which is {real!r},"
        raise NotApproved(
            f"{path!r}{is_really} may not be run: no pattern of jobtrack_approved_callables matches "
            f"{real!r} (there are: {known})"
        )


def real_path(path: str, found: Any) -> str:
    """Where a function really comes from, as a path. Raises NotApproved if it does not say."""
    function = found
    if inspect.ismethod(found):
        function = found.__func__
    if not (inspect.isfunction(function) or inspect.isbuiltin(function) or inspect.isclass(function)):
        kind = type(found)
        raise NotApproved(
            f"{path!r} is a {kind.__module__}.{kind.__qualname__}, and only functions, methods and classes "
            "may be run; wrap it in a function"
        )
    module, name = function.__module__, function.__qualname__
    if not isinstance(module, str) or not isinstance(name, str):
        raise NotApproved(f"{path!r} does not say from which module it comes; wrap it in a function")
    return f"{module}:{name}"


def _parted(path: Any) -> tuple[str, list[str]]:
    module, colon, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    names = name.split(".")
    if not colon or not all(part.isidentifier() for part in (*module.split("."), *names)):
        raise InvalidPayload(
            f"{path!r} is no path of a function; write module:function or module:Class.method"
        )
    private = next((part for part in names if part.startswith("_")), None)
    if private is not None:
        raise NotApproved(f"{path!r} may not be run: {private!r} is private")
    return module, names


def _found(path: str, module_name: str, names: Sequence[str]) -> tuple[Any, Any]:
    """What has the function as its attribute, and the function."""
    try:
        owner: Any = importlib.import_module(module_name)
    except ImportError as error:
        raise InvalidPayload(f"{path!r} cannot be run: {module_name} cannot be imported: {error}") from error
    found: Any = owner
    for name in names:
        owner = found
        try:
            found = getattr(owner, name)
        except AttributeError as error:
            raise InvalidPayload(f"{path!r} cannot be run: {error}") from None
        if inspect.ismodule(found):
            raise NotApproved(f"{path!r} may not be run: it leads through module {found.__name__!r}")
    return owner, found


def _is_static(owner: type, name: str) -> bool:
    return isinstance(inspect.getattr_static(owner, name), staticmethod)
