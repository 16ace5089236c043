"""Tables that fit: the least important columns go first, and ids are never cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from celery_jobtrack.cli.clean import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult

GAP = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column: what it shows of a row, and what becomes of it where there is no room."""

    title: str
    cell: Callable[[Any], object]
    """Gives a ``Text`` with a style, or anything else, which is shown as it is."""
    narrowest: int | None = None
    """To how many columns its cells may be cut; None: never."""
    widest: int | None = None
    """To how many columns its cells are cut even where there is room; None: to none."""
    ends_matter: bool = False
    """Cut cells at their beginning: of a dotted name the end tells more."""
    rank: int = 0
    """0 is always shown; of the others the highest goes first, and an empty one is not shown at all."""
    right: bool = False


class FittedTable:
    """A table that chooses its columns by the width it gets."""

    def __init__(self, columns: Iterable[Column], rows: Iterable[Any]) -> None:
        rows = list(rows)
        filled = [(column, [_text(column.cell(row)) for row in rows]) for column in columns]
        self._filled = [(c, cells) for c, cells in filled if c.rank == 0 or any(each.plain for each in cells)]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        filled = list(self._filled)
        while _needed(filled, cut=True) > options.max_width and any(column.rank for column, _ in filled):
            last = max(range(len(filled)), key=lambda index: filled[index][0].rank)
            del filled[last]
        columns = [column for column, _ in filled]
        widths = _widths(filled, options.max_width)
        yield _line([Text(column.title, style="bold") for column in columns], columns, widths)
        for cells in zip(*(cells for _, cells in filled), strict=True):
            yield _line(cells, columns, widths)


Filled = tuple[Column, "list[Text]"]


def _text(cell: object) -> Text:
    if isinstance(cell, Text):
        return cell
    return Text("" if cell is None else clean(cell))


def _natural(filled: Filled) -> int:
    column, cells = filled
    natural = max(cell_len(text) for text in (column.title, *(cell.plain for cell in cells)))
    return natural if column.widest is None else min(natural, column.widest)


def _least(filled: Filled) -> int:
    column, _ = filled
    natural = _natural(filled)
    return (
        natural if column.narrowest is None else min(natural, max(column.narrowest, cell_len(column.title)))
    )


def _needed(columns: Sequence[Filled], *, cut: bool) -> int:
    width = _least if cut else _natural
    return sum(width(each) for each in columns) + GAP * (len(columns) - 1)


def _widths(columns: Sequence[Filled], available: int) -> list[int]:
    """Every column at its natural width; as far as that is too much, the widest that may is cut."""
    widths = [_natural(each) for each in columns]
    least = [_least(each) for each in columns]
    excess = _needed(columns, cut=False) - available
    while excess > 0:
        cuttable = [index for index in range(len(widths)) if widths[index] > least[index]]
        if not cuttable:
            break
        widths[max(cuttable, key=lambda index: widths[index])] -= 1
        excess -= 1
    return widths


def _line(cells: Iterable[Text], columns: Sequence[Column], widths: Sequence[int]) -> Text:
    # Where ids make it longer than the terminal is wide, this wraps it, and they can still be copied.
    line = Text(no_wrap=True, overflow="ignore")
    for number, (text, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        shown = _cut(text, width, column)
        blanks = " " * (width - cell_len(shown.plain))
        line.append(" " * GAP if number else "")
        for part in (blanks, shown) if column.right else (shown, blanks):
            line.append(part)
    return line


def _cut(text: Text, width: int, column: Column) -> Text:
    if cell_len(text.plain) <= width:
        return text
    if column.ends_matter:
        kept = text.plain
        while cell_len(kept) > width - 1:
            kept = kept[1:]
        return Text(f"…{kept}", style=text.style)
    return Text(f"{set_cell_size(text.plain, width - 1).rstrip()}…", style=text.style)
