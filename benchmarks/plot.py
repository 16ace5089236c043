"""The result of ``workers`` as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from benchmarks.gate import LIMITS
from benchmarks.variants import BARE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

OURS = "jobtrack"
COLOURS = {True: "#1f6f8b", False: "#b0b7bd"}
PANELS = (
    ("worker_cpu_ratio", "worker CPU per job, bare Celery = 1"),
    ("throughput_ratio", "jobs per second, bare Celery = 1"),
)


def draw(document: Mapping[str, Any], path: Path) -> None:
    """Draw medians with quartiles; a dash marks the limit that we have set ourselves.

    Args:
        document: The result.
        path: Where the picture goes; its suffix says of which kind it is.
    """
    import matplotlib as mpl

    mpl.use("agg")
    # The same result gives the same file.
    mpl.rcParams.update({"svg.hashsalt": "jobtrack", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot as plt

    summary = {
        name: figures for name, figures in document["summary"].items() if "worker_cpu_ratio" in figures
    }
    names = list(reversed(summary))
    figure, axes = plt.subplots(1, 2, sharey=True, figsize=(9, 0.8 + 0.3 * len(names)))
    for axis, (quantity, title) in zip(axes, PANELS, strict=True):
        found = [summary[name][quantity] for name in names]
        medians = [each["median"] for each in found]
        spread = [
            [each["median"] - each["low"] for each in found],
            [each["high"] - each["median"] for each in found],
        ]
        colours = [COLOURS[name.startswith(OURS)] for name in names]
        axis.barh(names, medians, xerr=spread, color=colours, error_kw={"elinewidth": 1, "capsize": 2})
        axis.axvline(summary[BARE][quantity]["median"], color="black", linewidth=0.8)
        axis.set_title(title, fontsize=9)
        axis.spines[["top", "right"]].set_visible(False)
        if quantity == "worker_cpu_ratio":
            for name, limit in LIMITS.items():
                if name in names:
                    axis.plot(limit, names.index(name), marker="|", markersize=16, color="black")
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
