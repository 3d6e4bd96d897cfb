"""The `furrow` command as people and scripts meet it: status, messages, pipes, files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from furrow.backend.formats import audio, expressions, identity, maps, weights
from furrow.backend.formats.files import ASSETS
from furrow.backend.head import bilinear

COMMANDS = ("speak", "detail", "bake", "assemble", "train", "evaluate", "bench", "doctor")


@pytest.fixture(scope="module")
def hello(root: Path) -> Path:
    """The demo's speech."""
    return root / "assets" / "demo" / "hello.wav"


def complaint(process: subprocess.CompletedProcess[str]) -> str:
    """The one line that a failed command says."""
    assert process.returncode not in (0, None)
    lines = process.stderr.strip().splitlines()
    assert len(lines) == 1, process.stderr
    assert "Traceback" not in lines[0] and "Error:" not in lines[0]
    return lines[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(furrow, command: str) -> None:
    process = furrow(command, "--help")
    assert process.returncode == 0
    assert process.stdout.startswith(f"usage: furrow {command}")


def test_speak_writes_what_the_module_computes(furrow, hello: Path, tmp_path: Path) -> None:
    process = furrow("speak", hello, "-o", tmp_path / "hello.csv", "--fps", 24)
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""  # no bar where there is no terminal
    animation = weights.read_weights(tmp_path / "hello.csv")
    assert animation.fps == pytest.approx(24)
    jaw = animation.values[:, expressions.INDEX["jawOpen"]]
    assert jaw.max() > 0.2 and jaw.min() < 0.1  # it speaks


def test_speak_reads_standard_input(hello: Path, tmp_path: Path, furrow) -> None:
    by_name, piped = tmp_path / "name.npz", tmp_path / "piped.npz"
    furrow("speak", hello, "-o", by_name)
    with hello.open("rb") as sound:
        process = furrow("speak", "-", "-o", piped, stdin=sound)
    assert process.returncode == 0, process.stderr
    expected = weights.read_weights(by_name).values
    np.testing.assert_array_equal(weights.read_weights(piped).values, expected)


def test_speak_moves_the_mouth_alone_or_what_is_asked(furrow, hello: Path, tmp_path: Path) -> None:
    def output(*options: object) -> weights.Weights:
        process = furrow("speak", hello, "-o", tmp_path / "said.npz", *options)
        assert process.returncode == 0, process.stderr
        return weights.read_weights(tmp_path / "said.npz")

    off = [word for part in ("blinks", "gaze", "brows", "breath") for word in (f"--{part}", 0)]
    mouth, nods = output(*off, "--head", 0), output(*off, "--head", 2, "--seed", 5)
    around = [i for name, i in expressions.INDEX.items() if name.startswith(("eye", "brow"))]
    assert mouth.values[:, around].max() < 0.05  # but for what the network itself gives
    assert mouth.head is not None and not mouth.head.any()
    assert nods.head is not None and nods.head.any()
    np.testing.assert_array_equal(nods.values, mouth.values)


def test_speak_refuses_bad_performances_in_one_line(furrow, hello: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    for options, words in (
        (("--emotion", "bored"), "surprised"),
        (("--intensity", 9), "intensity"),
        (("--gaze", -1), "gaze"),
        (("--seed", -1), "seed"),
        (("--speaker", -1), "speaker"),
    ):
        assert words in complaint(furrow("speak", hello, "-o", out, *options))
    assert not out.exists()


def test_speak_streams_frames_as_the_sound_comes(furrow, hello: Path, tmp_path: Path) -> None:
    sound = np.concatenate(list(audio.blocks(hello)))
    samples = (np.clip(sound, -1, 1) * 32767).astype("<i2").tobytes()
    half = len(samples) // 4 * 2
    command = [sys.executable, "-m", "furrow", "speak", "-", "-o", "-", "--fps", "25"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(samples[:half])
        child.stdin.flush()
        # Half of the sound is in, and no more comes: so many frames must come now.
        early = int((half / 2 / 16000 - 0.3) * 25)
        lines = [child.stdout.readline() for _ in range(1 + early)]
        child.stdin.write(samples[half:])
        child.stdin.close()
        lines += child.stdout.readlines()
        assert child.wait(60) == 0
    (tmp_path / "live.csv").write_bytes(b"".join(lines))
    live = weights.read_weights(tmp_path / "live.csv", fps=25)
    assert furrow("speak", hello, "-o", tmp_path / "file.npz", "--fps", 25).returncode == 0
    whole = weights.read_weights(tmp_path / "file.npz")
    assert len(live.values) == len(whole.values)
    jaw = expressions.INDEX["jawOpen"]
    # A stream hears less of what follows than a file does.
    assert np.corrcoef(live.values[:, jaw], whole.values[:, jaw])[0, 1] > 0.7


def test_speak_streams_csv_only(furrow, tmp_path: Path) -> None:
    npz = furrow("speak", "-", "-o", tmp_path / "out.npz", "--stream", input="")
    assert "as a whole" in complaint(npz)


def test_speak_refuses_bad_input_in_one_line(furrow, hello: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    assert "nowhere.wav" in complaint(furrow("speak", tmp_path / "nowhere.wav", "-o", out))
    noise = tmp_path / "noise.wav"
    noise.write_bytes(b"no sound at all" * 100)
    assert "noise.wav" in complaint(furrow("speak", noise, "-o", out))
    assert ".csv" in complaint(furrow("speak", hello, "-o", tmp_path / "out.txt"))
    assert "not above zero" in complaint(furrow("speak", hello, "-o", out, "--fps", 0))
    complaint(furrow("speak", "-", "-o", out, input=""))
    assert not out.exists()


def test_detail_writes_the_map_of_an_identity_file(furrow, tmp_path: Path) -> None:
    person = bilinear.Head.load().random(3)
    identity.write_identity(person, tmp_path / "person.json")
    options = ("--expression", "browInnerUp=1,browOuterUpLeft=1", "--resolution", 256)
    first, second, other = (tmp_path / name for name in ("a.exr", "b.exr", "c.png"))
    for arguments in (
        ("--identity", tmp_path / "person.json", "-o", first),
        ("--random-identity", 3, "-o", second),
        ("--random-identity", 3, "--detail-seed", person.detail_seed + 1, "-o", other),
    ):
        process = furrow("detail", *options, *arguments)
        assert process.returncode == 0, process.stderr
    map_mm = maps.read_map(first)
    assert map_mm.shape == (256, 256)
    np.testing.assert_allclose(maps.read_map(second), map_mm, atol=1e-3)
    assert np.abs(map_mm).max() > 0.05  # millimetres: there are folds


def coarse(map_mm: np.ndarray) -> float:
    """RMS of the means of squares of a 32nd of the map, 1 cm on the face: lines, without pores."""
    side = len(map_mm) // 32
    return float(map_mm.reshape(32, side, 32, side).mean((1, 3)).std())


def test_detail_seed_moves_pores_and_leaves_lines(furrow, tmp_path: Path) -> None:
    found = []
    for person, seed in ((3, 0), (3, 1), (4, 0)):
        path = tmp_path / f"{person}-{seed}.exr"
        arguments = (
            "--random-identity",
            person,
            "--detail-seed",
            seed,
            "--expression",
            "browInnerUp=1",
        )
        process = furrow("detail", *arguments, "-o", path)
        assert process.returncode == 0, process.stderr
        found.append(maps.read_map(path))
    seeds, people = found[1] - found[0], found[2] - found[0]
    assert seeds.std() > 1e-3  # millimetres: pores do differ
    assert coarse(seeds) < 0.1 * coarse(people)


def test_detail_moves_in_the_space_of_styles(furrow, tmp_path: Path) -> None:
    person = tmp_path / "person.json"
    identity.write_identity(bilinear.Head.load().random(4), person)

    def map_of(*arguments: object) -> np.ndarray:
        path = tmp_path / "map.exr"
        who = ("--random-identity", 3, "--detail-seed", 0, "--expression", "browInnerUp=1")
        process = furrow("detail", *who, *arguments, "--resolution", 256, "-o", path)
        assert process.returncode == 0, process.stderr
        return maps.read_map(path)

    whole, mean, half = map_of(), map_of("--truncation", 0), map_of("--truncation", 0.5)
    assert np.abs(half - mean).mean() < np.abs(whole - mean).mean()
    other, middle = (map_of("--mix-identity", person, "--mix-from", layer) for layer in (0, 14))
    assert 0 < np.abs(middle - whole).mean() < np.abs(other - whole).mean()
    pores = map_of("--mix-identity", person)
    assert coarse(pores - whole) < 0.1 * coarse(other - whole)


@pytest.mark.skipif(
    not (ASSETS / "detail" / "mapping.onnx").exists(), reason="no mapping network is trained yet"
)
def test_detail_draws_random_people(furrow, tmp_path: Path) -> None:
    found = []
    for seed in (1, 2, 1):
        process = furrow(
            "detail", "--random-detail", seed, "--resolution", 256, "-o", tmp_path / "a.exr"
        )
        assert process.returncode == 0, process.stderr
        found.append(maps.read_map(tmp_path / "a.exr"))
    np.testing.assert_array_equal(found[0], found[2])
    assert np.abs(found[0] - found[1]).max() > 0.05  # millimetres
    assert np.abs(found[0]).max() > 0.05


@pytest.mark.skipif(
    not (ASSETS / "detail" / "directions.safetensors").exists(),
    reason="no directions are found yet",
)
def test_detail_is_adjusted(furrow, tmp_path: Path) -> None:
    rms = []
    for value in (-1, 0, 1):
        who = ("--random-identity", 3, "--expression", "browInnerUp=1", "--resolution", 256)
        process = furrow(
            "detail", *who, "--adjust", f"furrow_depth={value}", "-o", tmp_path / "a.exr"
        )
        assert process.returncode == 0, process.stderr
        rms.append(maps.read_map(tmp_path / "a.exr").std())
    assert rms[0] < 0.95 * rms[1] and rms[2] > 1.05 * rms[1]


def test_detail_refuses_bad_moves_in_one_line(furrow, tmp_path: Path) -> None:
    who = ("--random-identity", 1, "--expression", "", "-o", tmp_path / "map.exr")
    for arguments, message in (
        (("--adjust", "skin_agee=1"), "skin_age"),
        (("--adjust", "skin_age=1.5"), "[-1, 1]"),
        (("--adjust", "skin_age"), "no weight"),
        (("--truncation", "2"), "0 to 1.5"),
        (("--mix-from", "3"), "--mix-identity"),
        (("--mix-identity", tmp_path / "nobody.json"), "nobody.json"),
        (("--mix-identity", ASSETS / "identities" / "old.json", "--mix-from", 99), "layer 99"),
        (("--random-detail", "2"), "not allowed with"),
    ):
        assert message in complaint(furrow("detail", *who, *arguments))
    assert "--expression" in complaint(furrow("detail", *who[:2], *who[4:]))
    random = ("--random-detail", 2, "--expression", "jawOpen=1", "-o", tmp_path / "map.exr")
    assert "leave --expression out" in complaint(furrow("detail", *random))
    assert not (tmp_path / "map.exr").exists()


def test_detail_refuses_bad_input_in_one_line(furrow, tmp_path: Path) -> None:
    out = tmp_path / "map.exr"
    neutral = ("--expression", "", "-o", out)
    who = ("--random-identity", 1, "-o", out)
    assert "jawOpen" in complaint(furrow("detail", *who, "--expression", "jawOpn=1"))
    assert "between 0 and 1" in complaint(furrow("detail", *who, "--expression", "jawOpen=1.5"))
    assert "jawOpen=x" in complaint(furrow("detail", *who, "--expression", "jawOpen=x"))
    person = tmp_path / "person.json"
    person.write_text('{"format": "furrow.identity/1", "shape": [0, 1], "skin": [0.5]}')
    assert "another head" in complaint(furrow("detail", "--identity", person, *neutral))
    shape = [float("nan")] * bilinear.Head.load().shape_count
    person.write_text(
        json.dumps({"format": "furrow.identity/1", "shape": shape, "skin": [0.5] * 16})
    )
    assert "not numbers" in complaint(furrow("detail", "--identity", person, *neutral))
    good = {"format": "furrow.identity/1", "shape": [0.0] * len(shape), "skin": [0.5] * 16}
    person.write_text(json.dumps(good | {"detail": {"skinage": 1}}))
    output = complaint(furrow("detail", "--identity", person, *neutral))
    assert "person.json" in output and "skinage" in output
    person.write_text("[")
    assert "person.json" in complaint(furrow("detail", "--identity", person, *neutral))
    assert not out.exists()


def test_read_only_folder_is_one_clear_line(furrow, hello: Path) -> None:
    # /proc refuses files even to root.
    assert "cannot be written" in complaint(furrow("speak", hello, "-o", "/proc/furrow/out.csv"))


def test_training_says_how_to_get_pytorch() -> None:
    script = (
        "import sys\nsys.modules['torch'] = None\n"
        "from furrow.__main__ import main\nsys.exit(main(['train', 'dnpm']))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60
    )
    assert "make train-env" in complaint(process)


def test_unknown_options_are_one_line(furrow) -> None:
    assert "--help" in complaint(furrow("speak", "x.wav"))
    assert "furrow evaluate" in complaint(furrow("evaluate", "nose"))
    assert "furrow train head" in complaint(furrow("train", "head", "--no-such-option"))


def test_ctrl_c_ends_with_130_and_leaves_nothing(tmp_path: Path) -> None:
    # Standard input that never ends: the command sits there until the signal.
    command = [sys.executable, "-m", "furrow", "speak", "-", "-o", str(tmp_path / "out.csv")]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as child:
        end = time.monotonic() + 30
        while not any(tmp_path.iterdir()) and time.monotonic() < end:
            time.sleep(0.05)
        child.send_signal(signal.SIGINT)
        assert child.wait(30) == 130
        assert child.stderr is not None and "Traceback" not in child.stderr.read()
    assert not any(tmp_path.iterdir())


def test_closed_pipe_ends_quietly() -> None:
    command = f"{sys.executable} -m furrow doctor | true"
    process = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60
    )
    assert process.returncode == 1
    assert "Traceback" not in process.stderr and "BrokenPipe" not in process.stderr


def test_doctor_finds_this_installation_whole(furrow, tmp_path: Path) -> None:
    process = furrow("doctor", "--json", tmp_path / "doctor.json")
    assert process.returncode == 0, process.stdout
    result = json.loads((tmp_path / "doctor.json").read_text())
    assert result["good"]
    found = {check["name"]: check["found"] for check in result["checks"]}
    assert "sha256" in found["assets/head.npz"]
    assert "ms by" in found["a map"]
    assert "ms an exact map" in found["engine onnxruntime"]
    assert found["engine taken"].split(":")[0] in ("onnxruntime", "openvino", "torch")
