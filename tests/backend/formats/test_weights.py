"""Files of weights: what is written is read back; bad files say what is wrong."""

import csv

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import EXPRESSIONS, INDEX
from furrow.backend.formats.weights import Weights, read_weights, resample, write_weights


@pytest.fixture
def motion():
    rng = np.random.default_rng(0)
    return rng.random((90, 52)).astype(np.float32)


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
@pytest.mark.parametrize("fps", [12, 24000 / 1001, 24, 25, 30000 / 1001, 30, 59.94, 60, 120])
def test_round_trip_keeps_values_and_rate(tmp_path, motion, suffix, fps):
    path = tmp_path / f"w{suffix}"
    write_weights(path, Weights(np.tile(motion, (2, 1)), fps))
    back = read_weights(path)
    assert back.fps == pytest.approx(fps, rel=2e-4)
    np.testing.assert_allclose(back.values, np.tile(motion, (2, 1)), atol=1e-5)


def test_csv_is_live_link_face(tmp_path, motion):
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion, 30))
    rows = list(csv.reader(path.open()))
    assert rows[0][:3] == ["Timecode", "BlendshapeCount", "EyeBlinkLeft"]
    assert len(rows[0]) == 2 + 61 and rows[0][-9:-6] == ["HeadYaw", "HeadPitch", "HeadRoll"]
    assert rows[1][:2] == ["00:00:00:00.000", "61"]
    assert rows[32][0] == "00:00:01:01.000"


@pytest.mark.parametrize("suffix", [".csv", ".npz"])
def test_the_turn_of_the_head_is_kept(tmp_path, motion, suffix):
    head = np.linspace([-0.5, 0.1, 0], [0.5, 0.4, -0.2], 90).astype(np.float32)
    path = tmp_path / f"w{suffix}"
    write_weights(path, Weights(motion, 30, head))
    np.testing.assert_allclose(read_weights(path).head, head, atol=1e-6)
    half = resample(read_weights(path), 15)
    np.testing.assert_allclose(half.head, head[::2], atol=1e-6)
    write_weights(path, Weights(motion, 30))
    assert read_weights(path).head is None


def test_head_columns_may_be_absent_and_dropped_frames_are_filled(tmp_path, motion):
    head = np.linspace([-0.5, 0.1, 0.2], [0.5, 0.4, -0.2], 90).astype(np.float32)
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion, 30, head))
    _edit(path, lambda rows: rows[:20] + rows[23:])
    np.testing.assert_allclose(read_weights(path).head, head, atol=1e-5)
    _edit(path, lambda rows: [row[:54] for row in rows])
    assert read_weights(path).head is None


def test_a_head_in_degrees_is_told_apart(tmp_path, motion):
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion, 30))
    _edit(
        path,
        lambda r: [[*row[:55], "12.5", *row[56:]] if i == 7 else row for i, row in enumerate(r)],
    )
    with pytest.raises(
        FurrowError, match=r"HeadPitch is 12\.5 in frame 7.*radians, not in degrees"
    ):
        read_weights(path)
    with pytest.raises(FurrowError, match=r"not \(90 frames, 3\)"):
        write_weights(path, Weights(motion, 30, np.zeros((5, 3))))


def test_a_recording_of_the_phone_is_read(tmp_path, motion):
    """Older versions of the app spell a column otherwise; frames count up to 59, with fractions."""
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion, 30))

    def recorded(rows):
        rows[0][1] = "BlendShapeCount"
        for k, row in enumerate(rows[1:]):
            frame = 7.867 + 1.0006 * k
            row[0] = f"00:32:{9 + int(frame // 60):02d}:{frame % 60:06.3f}"
        return rows

    _edit(path, recorded)
    back = read_weights(path)
    assert back.fps == pytest.approx(60 / 1.0006, abs=1e-3) and len(back.values) == 90


def _edit(path, change):
    rows = list(csv.reader(path.open()))
    rows = change(rows)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_columns_are_found_by_name(tmp_path, motion):
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion, 30))
    order = np.random.default_rng(1).permutation(63)
    _edit(path, lambda rows: [[row[i] for i in order] for row in rows])
    np.testing.assert_allclose(read_weights(path).values, motion, atol=1e-5)


def test_recording_without_tongue_out_is_read(tmp_path, motion):
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion, 30))
    at = 2 + INDEX["tongueOut"]
    _edit(path, lambda rows: [row[:at] + row[at + 1 :] for row in rows])
    assert not read_weights(path).values[:, INDEX["tongueOut"]].any()


def test_dropped_frames_are_filled(tmp_path):
    ramp = np.repeat(np.linspace(0, 1, 90, dtype=np.float32)[:, None], 52, axis=1)
    path = tmp_path / "w.csv"
    write_weights(path, Weights(ramp, 30))
    _edit(path, lambda rows: rows[:20] + rows[23:60] + rows[61:])
    back = read_weights(path)
    assert back.fps == 30 and len(back.values) == 90
    np.testing.assert_allclose(back.values, ramp, atol=1e-4)


def test_timecode_passes_midnight(tmp_path, motion):
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion[:40], 30))

    def late(rows):
        for k, row in enumerate(rows[1:]):
            row[0] = (
                f"23:59:59:{k + 20:02d}.000"
                if k < 10
                else f"00:00:{(k - 10) // 30:02d}:{(k - 10) % 30:02d}.000"
            )
        return rows

    _edit(path, late)
    assert len(read_weights(path).values) == 40


def test_short_clip_takes_the_rate_it_is_told(tmp_path, motion):
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion[:10], 24))
    assert read_weights(path, fps=24).fps == 24
    assert read_weights(path).fps == 30


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: [[c.replace("JawOpen", "JawOpne") for c in r[0]], *r[1:]], 'mean "jawOpen"'),
        (lambda r: [[*row[:19], "nan", *row[20:]] if i == 5 else row for i, row in enumerate(r)], "jawOpen is not a number in frame 5"),
        (lambda r: [[*row[:19], "1.5", *row[20:]] if i == 5 else row for i, row in enumerate(r)], r"jawOpen lies outside \[0, 1\] in frame 5"),
        (lambda r: [[*row[:19], "big", *row[20:]] if i == 5 else row for i, row in enumerate(r)], "not a number"),
        (lambda r: [row[:19] + row[20:] for row in r], 'lacks the column "jawOpen"'),
        (lambda r: [*r[:7], r[7][:30]], "frame 7 has 30 columns"),
        (lambda r: r[:1], "no frames"),
        (lambda r: [row[1:] for row in r], "no column Timecode"),
        (lambda r: [*r[:5], *r[2:4]], "does not come after"),
    ],
)  # fmt: skip
def test_bad_csv_says_what_is_wrong(tmp_path, motion, change, words):
    path = tmp_path / "w.csv"
    write_weights(path, Weights(motion, 30))
    assert EXPRESSIONS[17] == "jawOpen"
    _edit(path, change)
    with pytest.raises(FurrowError, match=words):
        read_weights(path)


def test_other_bad_files(tmp_path, motion):
    with pytest.raises(FurrowError) as error:
        read_weights(tmp_path / "none.csv")
    assert error.value.code == "missing_file"
    for name, data in (
        ("a.npz", b"PK\x03\x04 rubbish"),
        ("b.npz", b""),
        ("c.csv", b"\xff\xfe\x00"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FurrowError, match=r"no readable|Live Link"):
            read_weights(tmp_path / name)
    np.savez(tmp_path / "d.npz", values=np.array([object()]), fps=30, names=np.array(EXPRESSIONS))
    with pytest.raises(FurrowError, match="no readable"):  # a pickle is never loaded
        read_weights(tmp_path / "d.npz")
    with pytest.raises(FurrowError, match=r"\.csv"):
        write_weights(tmp_path / "w.txt", Weights(motion, 30))
    motion[3, 17] = np.nan
    with pytest.raises(FurrowError, match="jawOpen is not a number in frame 4"):
        write_weights(tmp_path / "w.csv", Weights(motion, 30))
    assert not (tmp_path / "w.csv").exists()


def test_resampling_keeps_motion_and_length():
    t = np.arange(300) / 60
    values = np.repeat((0.5 + 0.5 * np.sin(2 * np.pi * t))[:, None], 52, axis=1).astype(np.float32)
    slow = resample(Weights(values, 60.0), 24)
    assert len(slow.values) == 120 and slow.fps == 24
    expected = 0.5 + 0.5 * np.sin(2 * np.pi * np.arange(120) / 24)
    np.testing.assert_allclose(slow.values[:119, 0], expected[:119], atol=0.01)
    with pytest.raises(FurrowError):
        resample(slow, float("nan"))
