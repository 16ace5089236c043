"""Levels of queues: which goes first, what else they are called, how the turns are shared."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from celery_jobtrack.model.names import check_name

OPTIONS = ("aliases", "weight")
DEFAULT = "default"
"""The level whose queue is ``task_default_queue``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """One level; ``weight`` is its share of the turns, None where the order is strict."""

    name: str
    aliases: tuple[str, ...] = ()
    weight: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """The levels of an app; the first goes first, or each gets its share."""

    levels: tuple[Level, ...]

    @property
    def is_weighted(self) -> bool:
        """Whether each gets a share, so that none can starve."""
        return self.levels[0].weight is not None

    def find(self, name: str) -> Level | None:
        """The level that is called so, by its name or an alias."""
        return next((each for each in self.levels if name == each.name or name in each.aliases), None)

    @classmethod
    def read(cls, given: Any) -> Levels | None:
        """Make levels of what was set; None stays None.

        Args:
            given: A mapping of names to mappings of ``aliases`` and ``weight``, in order.

        Raises:
            ValueError: It is no such mapping; the message says what is wrong with it.
        """
        if given is None:
            return None
        if not isinstance(given, Mapping) or not given:
            raise ValueError(
                "it must be a mapping of levels to their options, the first goes first: "
                '{"high": {"aliases": ["critical"]}, "default": {}, "low": {}}'
            )
        levels = tuple(_level(name, options) for name, options in given.items())
        _refuse_two_of_a_name(levels)
        without = [each.name for each in levels if each.weight is None]
        if without and len(without) < len(levels):
            raise ValueError(f"{without[0]!r} has no weight; give each level one, or none of them")
        return cls(levels=levels)


def _level(name: Any, options: Any) -> Level:
    _check_name("a level", name)
    if not isinstance(options, Mapping):
        raise ValueError(f"{name!r}: its options must be a mapping, not {options!r}; {{}} if there are none")  # noqa: TRY004
    for option in options:
        if option not in OPTIONS:
            near = difflib.get_close_matches(str(option), OPTIONS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(OPTIONS)}"
            raise ValueError(f"{name!r}: option {option!r} is not known; {hint}")
    aliases = options.get("aliases", ())
    if isinstance(aliases, str) or not hasattr(aliases, "__iter__"):
        raise ValueError(f"{name!r}: aliases must be a list of names, not {aliases!r}")
    aliases = tuple(aliases)
    for alias in aliases:
        _check_name("an alias", alias)
    return Level(name=name, aliases=aliases, weight=_weight(name, options.get("weight")))


def _weight(name: str, weight: Any) -> float | None:
    if weight is None:
        return None
    if isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < math.inf:
        raise ValueError(f"{name!r}: a weight is a number more than 0, not {weight!r}")
    return float(weight)


def _refuse_two_of_a_name(levels: tuple[Level, ...]) -> None:
    names = {each.name for each in levels}
    taken: dict[str, str] = {}
    for level in levels:
        for alias in level.aliases:
            if alias in names:
                raise ValueError(f"{level.name!r}: the alias {alias!r} is a level; an alias is another name")
            if alias in taken:
                raise ValueError(f"the alias {alias!r} is given to {taken[alias]!r} and to {level.name!r}")
            taken[alias] = level.name


def _check_name(what: str, name: Any) -> None:
    check_name(what, name, ValueError)
    if "," in name:
        raise ValueError(f"{what} cannot hold a comma, which separates the queues of a worker: {name!r}")
