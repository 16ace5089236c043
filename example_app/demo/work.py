"""What a run counts: the files and directories of a tree, and for the default one some trouble."""

import sysconfig
from dataclasses import dataclass
from pathlib import Path

from example_app import sources
from example_app.demo.workplace import CannotRunError

SAMPLES = Path(__file__).parents[1] / "samples"


@dataclass(frozen=True)
class Work:
    """The files to count, below ``root``, and others beside them."""

    root: Path
    files: list[Path]
    left_out: list[str]
    samples: list[Path]
    """Broken files, counted too."""

    @classmethod
    def find(cls, path: str | None, limit: int | None) -> "Work":
        """List what there is to count.

        Args:
            path: A directory; None is the standard library, and the samples.
            limit: How many files of the directory at most.

        Raises:
            CannotRunError: There is nothing.
        """
        root = Path(sysconfig.get_path("stdlib")) if path is None else _directory(path)
        tree = sources.find(root)
        if not tree.files:
            raise CannotRunError(f"{root} holds no Python sources (*.py), so there is nothing to count")
        samples = list(sources.files_in(SAMPLES)) if path is None else []
        return cls(root, tree.files[:limit], sorted(tree.left_out), samples)

    @property
    def jobs(self) -> int:
        """How many jobs it makes."""
        arriving = 1 if self.samples else 0
        return arriving + 1 + len(self.samples) + len(self.files) + len(self.directories)

    @property
    def directories(self) -> list[Path]:
        """The directories that hold the files."""
        return sorted({path.parent for path in self.files})

    def name(self, path: Path) -> str:
        """What a path is called on the screen."""
        if path.is_relative_to(self.root):
            return str(path.relative_to(self.root))
        return str(Path(path.parent.name, path.name))


def _directory(text: str) -> Path:
    if not text:
        raise CannotRunError("--path is empty; give it a directory of Python sources")
    path = Path(text).absolute()
    try:
        next(path.iterdir(), None)
    except FileNotFoundError:
        raise CannotRunError(f"--path {text}: there is no such directory") from None
    except NotADirectoryError:
        raise CannotRunError(f"--path {text}: this is a file; give its directory") from None
    except OSError as error:
        raise CannotRunError(f"--path {text}: it cannot be read: {error.strerror}") from None
    return path
