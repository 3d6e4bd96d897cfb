"""How the backend process starts, whatever its surroundings, and how it ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

import numpy as np
from furrow.backend.process import protocol


def test_missing_networks_are_said_when_a_map_is_asked(backend_class, tmp_path):
    backend = backend_class("--networks", tmp_path)
    assert backend.hear()["event"] == "ready"
    backend.map(1)
    assert backend.hear(1)["error"]["code"] == "missing_model"
    backend.end()


def test_ends_at_once_in_the_middle_of_work(start, tmp_path):
    backend = start(work=400)
    backend.map(1)
    time.sleep(0.3)
    began = time.monotonic()
    backend.end()
    assert time.monotonic() - began < 2


def test_ends_when_nobody_reads(start):
    backend = start()
    backend.process.stdout.close()
    assert backend.process.wait(5) == 0


def test_what_a_library_prints_does_not_reach_the_pipe(backend_class, tmp_path):
    """A package that prints from Python and from C while it is imported, and reads stdin."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(
        "import os, sys\nprint('noise')\nos.write(1, b'more noise\\n')\n"
        "os.system('echo shell noise')\nassert sys.stdin.read() == ''\nInferenceSession = None\n"
    )
    backend = backend_class("--site-packages", tmp_path, "--engine", "ort")
    assert backend.hear()["event"] == "ready"  # json.loads would have failed before
    log = backend.end()
    assert "noise" in log and "more noise" in log and "shell noise" in log


def test_site_packages_cannot_be_shadowed(backend_class, tmp_path):
    """Neither the folder that the process is started in nor PYTHONPATH can put a module before ours."""
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('shadowed')")
    run = subprocess.run(
        [sys.executable, "-I", str(backend_class.LAUNCHER)],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)},
        input=b"", capture_output=True, timeout=30,
    )  # fmt: skip
    assert b'"ready"' in run.stdout and run.returncode == 0


def test_runs_in_a_folder_of_any_name(backend_class, tmp_path):
    root = backend_class.LAUNCHER.parents[2]
    clone = tmp_path / "my-clone 2"
    shutil.copytree(root / "backend", clone / "backend")
    shutil.copy(root / "__init__.py", clone)
    backend = backend_class(launcher=clone / "backend" / "process" / "launch.py")
    assert backend.hear()["event"] == "ready"
    backend.end()


def test_two_clients_have_two_processes(start):
    one, two = start(), start()
    one.map(1, expression=[0.2] * 52)
    two.map(1, expression=[0.9] * 52)
    maps = [protocol.receive(b.hear(1)["result"]["array"]) for b in (one, two)]
    assert np.abs(maps[0] - maps[1]).max() > 0.01
    one.end()
    two.map(2)
    assert "result" in two.hear(2)
