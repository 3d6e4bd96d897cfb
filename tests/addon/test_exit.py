"""A script that uses Furrow in the bpy module ends when it is done, and says that it went well.

Up to 4.5 the module shuts Blender down when the last reference to it goes. Where something keeps one (a
class or a handler that is registered, a timer that Blender holds after a file was opened), the end of the
process finds Blender's threads running: it waits for one of them for ever, or crashes.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

BEGIN = """
import sys, bpy, furrow
from furrow.addon.detail import live_updates
from furrow.addon.detail.live_session import session
furrow.register()
file = sys.argv[1]
bpy.ops.mesh.furrow_head_add()
"""

ENDS = {
    "at once": "",
    "after a file was opened": """
bpy.ops.wm.save_as_mainfile(filepath=file)
bpy.ops.wm.open_mainfile(filepath=file)
""",
    "after live maps and a file": """
with session.by_hand():
    live_updates.request(bpy.context.object)
    while live_updates.poll() is not None and not live_updates.is_current(bpy.context.object):
        pass
    bpy.ops.wm.save_as_mainfile(filepath=file)
    bpy.ops.wm.read_homefile(use_empty=True)
""",
    "by an error": "raise SystemExit(3)",
}


@pytest.mark.parametrize("end", ENDS)
def test_a_script_ends(tmp_path: Path, end: str) -> None:
    command = [sys.executable, "-c", BEGIN + ENDS[end], str(tmp_path / "a.blend")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert done.returncode == (3 if end == "by an error" else 0), done.stdout + done.stderr


@pytest.mark.parametrize("blender", ["bpy42", "bpy50"])
def test_a_script_ends_in_other_blenders(root: Path, tmp_path: Path, blender: str) -> None:
    python = root / f".venv-{blender}" / "bin" / "python"
    if not python.exists():
        pytest.skip("make test sets the other Blenders up")
    (tmp_path / "furrow").symlink_to(root)
    script = BEGIN + ENDS["after a file was opened"]
    done = subprocess.run(
        [python, "-c", script, tmp_path / "a.blend"], cwd=tmp_path, timeout=120,
        capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["drag", "opening_another_file"])
def test_a_file_of_tests_ends_by_itself(root: Path, name: str) -> None:
    file = "tests/addon/detail/test_live_updates.py"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        file,
        "-k",
        name,
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=root)
    assert done.returncode == 0, done.stdout + done.stderr
