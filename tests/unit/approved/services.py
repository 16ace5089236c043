"""Approved by its name, with things in it that are not."""

from __future__ import annotations

import functools
import os
from os import system  # noqa: F401 - a function of another module under an approved name
from subprocess import Popen  # noqa: F401

from tests.unit.approved.elsewhere import outside  # noqa: F401

SENT: list[object] = []


def send(*args: object, **kwargs: object) -> int:
    SENT.append((args, kwargs))
    return len(SENT)


def fail() -> None:
    raise ConnectionError("no")


class Mailer:
    prefix = "mail"

    def __init__(self) -> None:
        self.to: list[str] = []

    def send(self, to: str) -> str:
        self.to.append(to)
        return f"{self.prefix}:{self.to}"

    @classmethod
    def of_class(cls) -> str:
        return cls.__name__

    @staticmethod
    def static(number: int) -> int:
        return number + 1

    class Inner:
        def send(self) -> str:
            return "inner"

    def _private(self) -> None: ...


class Special(Mailer):
    """Has the method of its base."""


mailer = Mailer()
tools = os
part = functools.partial(send, 1)
NUMBER = 3


class CallableThing:
    def __call__(self) -> str:
        return "called"


thing = CallableThing()
