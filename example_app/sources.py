"""Python sources: which there are below a directory, and what is in one."""

import ast
import os
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

FIGURES = ("lines", "functions", "classes", "imports")

LEFT_OUT = frozenset({"site-packages", "dist-packages", "node_modules", "__pycache__"})
"""Directories that hold what others wrote, or what was made from sources."""

SETTLED_AFTER = 2.0
"""Seconds without a change after which a file counts as completely written."""


class StillBeingWrittenError(Exception):
    """A file has just been changed: what it holds may be half of what it is going to be."""

    def __init__(self, age: float) -> None:
        super().__init__(age)
        self.seconds = SETTLED_AFTER - age
        """After how long another look is worth it."""

    def __str__(self) -> str:
        return f"it was changed {self.args[0]:.1f} s ago, so it may be incomplete"


@dataclass
class Tree:
    """The source files below a directory, sorted, and the names of the directories left out."""

    files: list[Path] = field(default_factory=list)
    left_out: set[str] = field(default_factory=set)


def find(directory: Path) -> Tree:
    """List the source files below a directory, which may be one that is left out elsewhere."""
    tree = Tree()
    for here, below, _ in os.walk(directory):
        skipped = {name for name in below if _is_left_out(Path(here, name))}
        below[:] = sorted(set(below) - skipped)
        tree.files += files_in(Path(here))
        tree.left_out |= skipped - {"__pycache__"}  # Nobody misses those.
    return tree


def files_in(directory: Path) -> Iterator[Path]:
    """List the source files of a directory itself, by name."""
    for path in sorted(directory.iterdir()):
        if path.suffix == ".py" and path.is_file():
            yield path


def require_settled(path: Path) -> None:
    """Raise StillBeingWrittenError if a file was changed a moment ago."""
    age = time.time() - path.stat().st_mtime
    if 0 <= age < SETTLED_AFTER:
        raise StillBeingWrittenError(age)


def measure(path: Path) -> dict[str, int]:
    """Count a file's lines, functions, classes and import statements.

    Raises:
        SyntaxError, ValueError: It is no valid Python; which of both depends on Python's version.
    """
    source = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # What the compiler thinks of the style is not our business.
        found = Counter(type(statement) for statement in _statements(ast.parse(source, path.name)))
    return {
        "lines": len(source.splitlines()),
        "functions": found[ast.FunctionDef] + found[ast.AsyncFunctionDef],
        "classes": found[ast.ClassDef],
        "imports": found[ast.Import] + found[ast.ImportFrom],
    }


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    """Every statement below a node. What is counted here is never part of an expression."""
    for block in ("body", "orelse", "finalbody", "handlers", "cases"):
        for statement in getattr(node, block, ()):
            yield statement
            yield from _statements(statement)


def _is_left_out(directory: Path) -> bool:
    virtual_environment = (directory / "pyvenv.cfg").exists()
    return directory.name in LEFT_OUT or directory.name.startswith(".") or virtual_environment
