"""Files that appear under their final name only when whole, and where the assets lie."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ..errors import FurrowError

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets"


@contextlib.contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it there if the block succeeds, remove it if not.

    The temporary name keeps the suffix, since image libraries choose the format by it.

    Raises
    ------
    FurrowError
        If the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".partial-", suffix=path.suffix, dir=path.parent)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp gives 0600
        temporary.replace(path)
        temporary = None
    except OSError as error:
        raise FurrowError(
            f"{path} cannot be written: {error.strerror or error}. Choose another folder or free some space.",
            "write_failed",
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                temporary.unlink()


def write_whole(path: str | Path, data: bytes) -> None:
    """Write bytes to `path` in one step; raises FurrowError."""
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def sha256(path: str | Path) -> str:
    """Return the hash of a file's content in hexadecimal digits.

    Raises
    ------
    FurrowError
        With code ``missing_file`` if it cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise FurrowError(f"{path} cannot be read: {error.strerror}.", "missing_file") from None
