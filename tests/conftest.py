"""What tests of several rooms share: the command as a child process, and the built extension."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

Furrow = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def furrow() -> Furrow:
    """Run the `furrow` command: ``furrow("speak", path, "-o", out, cwd=..., timeout=...)``."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "furrow", *map(str, arguments)]
        settings: dict = {"capture_output": True, "text": True, "timeout": 120} | options
        return subprocess.run(command, **settings)

    return run


@pytest.fixture(scope="session")
def extension_zip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The extension as `make extension` builds it, once for all tests."""
    folder = tmp_path_factory.mktemp("extension")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "extension.py"), "--output", str(folder)],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (path,) = folder.glob("*.zip")
    return path
