"""The life around a mouth: how often, how fast, how far; the same however the sound comes."""

from dataclasses import replace

import numpy as np
import pytest
from furrow.backend.formats import audio
from furrow.backend.formats.expressions import EXPRESSIONS, INDEX
from furrow.backend.formats.files import ASSETS
from furrow.backend.liveliness import liveliness
from furrow.backend.liveliness.performance import STILL, Life

PARTS = {
    "blinks": ("eyeBlink", "eyeWide"),
    "gaze": ("eyeLook", "eyeWide", "eyeBlink"),
    "brows": ("brow", "eyeSquint", "cheekSquint"),
    "breath": ("noseSneer",),
    "head": (),
}


@pytest.fixture(scope="module")
def hello():
    return np.concatenate(list(audio.blocks(ASSETS / "demo" / "hello.wav")))


@pytest.fixture(scope="module")
def sentences(hello):
    """A minute of sentences with pauses of 0.3 to 1.5 s."""
    rng = np.random.default_rng(0)
    parts: list[np.ndarray] = []
    while sum(map(len, parts)) < 60 * 16000:
        parts += [hello, np.zeros(round(rng.uniform(0.3, 1.5) * 16000), np.float32)]
    return np.concatenate(parts)[: 60 * 16000]


def performed(sound, fps=60.0, life=None):
    count = round(len(sound) / 16000 * fps)
    parts = list(liveliness.perform([sound], fps, count, life or Life()))
    return liveliness.Moved(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def column(moved, name):
    return moved.values[:, INDEX[name]]


def gaze_degrees(moved):
    side = column(moved, "eyeLookOutLeft") - column(moved, "eyeLookInLeft")
    up = column(moved, "eyeLookUpLeft") - column(moved, "eyeLookDownLeft")
    return 27 * np.stack([side, up], axis=1)


def streamed(sound, sizes, fps, life):
    """Frames as they come, and for each how much sound was in by then, in seconds."""
    stream, at, parts, heard = liveliness.Liveliness(fps, life), 0, [], []
    while at < len(sound):
        size = next(sizes)
        parts.append(stream.push(sound[at : at + size]))
        at = min(len(sound), at + size)
        heard += [at / 16000] * len(parts[-1].values)
    parts.append(stream.finish())
    heard += [len(sound) / 16000] * len(parts[-1].values)
    return *(np.concatenate(part) for part in zip(*parts, strict=True)), np.array(heard)


@pytest.mark.parametrize("fps", [24.0, 119.88])
def test_frames_do_not_depend_on_how_the_sound_is_cut(hello, fps):
    sound = np.concatenate([hello, np.zeros(9000, np.float32), hello])
    whole = performed(sound, fps)
    rng = np.random.default_rng(1)
    for sizes in (iter(lambda: 160, None), iter(lambda: int(rng.integers(1, 4000)), None)):
        values, head, heard = streamed(sound, sizes, fps, Life())
        np.testing.assert_allclose(values, whole.values, atol=1e-6)
        np.testing.assert_allclose(head, whole.head, atol=1e-6)
    _, _, heard = streamed(sound, iter(lambda: 96, None), fps, Life())
    assert (heard - np.arange(len(heard)) / fps).max() < 0.15  # seconds behind the sound
    assert liveliness.DELAY < 0.15


def test_strengths_of_zero_move_nothing(hello):
    assert not list(liveliness.perform([hello], 30.0, 100, STILL))
    values, head, _ = streamed(hello, iter(lambda: 2048, None), 30.0, STILL)
    assert not values.any() and not head.any() and not np.signbit(head).any()
    assert len(values) == round(len(hello) / 16000 * 30)


def test_the_mouth_has_no_part_in_it(sentences):
    moved = performed(sentences, life=Life(2, 2, 2, 2, 2, seed=5))
    mouth = [i for n, i in INDEX.items() if n.startswith(("mouth", "jaw", "tongue", "cheekPuff"))]
    assert not moved.values[:, mouth].any()
    assert moved.values.min() >= 0 and moved.values.max() <= 1


@pytest.mark.parametrize("part", PARTS)
def test_every_part_has_its_own_strength_and_its_own_chance(sentences, part):
    sound = sentences[: 20 * 16000]
    alone = performed(sound, life=replace(STILL, **{part: 1.0}))
    moving = {EXPRESSIONS[i] for i in np.flatnonzero(alone.values.any(axis=0))}
    assert all(name.startswith(PARTS[part]) for name in moving)
    assert bool(moving) == (part != "head")
    assert alone.head.any() == (part in ("head", "breath"))
    # Without this part the others stay as they are, but for eyes that answer to the head.
    whole, without = performed(sound), performed(sound, life=replace(Life(), **{part: 0.0}))
    answers = PARTS[part] + (PARTS["gaze"] if part in ("head", "breath") else ())
    others = [i for name, i in INDEX.items() if not name.startswith(answers)]
    np.testing.assert_array_equal(without.values[:, others], whole.values[:, others])
    if part not in ("head", "breath"):
        np.testing.assert_array_equal(without.head, whole.head)


def test_the_seed_decides_and_the_volume_does_not(hello):
    sound = np.tile(hello, 3)
    first, again, other = (performed(sound, life=Life(seed=seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.values, again.values)
    assert np.abs(first.values - other.values).max() > 0.1
    assert np.abs(first.head - other.head).max() > 0.01
    quiet = performed(0.02 * sound, life=Life(seed=3))
    assert np.corrcoef(first.head.ravel(), quiet.head.ravel())[0, 1] > 0.8


def blinks_of(moved, fps=60.0):
    """When the lids begin to be more than half shut, and for how long, in seconds."""
    lid = np.pad(column(moved, "eyeBlinkLeft") > 0.5, 1).astype(int)
    begin, end = np.flatnonzero(np.diff(lid) == 1), np.flatnonzero(np.diff(lid) == -1)
    return begin / fps, (end - begin) / fps


def test_blinks_come_as_often_and_as_fast_as_peoples(sentences):
    silence = np.zeros_like(sentences)
    for sound, low, high in ((sentences, 20, 30), (silence, 13, 22)):  # Bentivoglio: 26 and 17
        found = [blinks_of(performed(sound, life=Life(seed=seed))) for seed in range(3)]
        assert low <= np.mean([len(begin) for begin, _ in found]) <= high
        lasts = np.concatenate([seconds for _, seconds in found])
        assert 0.1 < np.median(lasts) < 0.22 and lasts.max() < 0.6
    few, many = (len(blinks_of(performed(sentences, life=Life(blinks=b)))[0]) for b in (0.5, 2.0))
    assert few < 0.65 * many


def test_blinks_shut_the_eye_on_a_frame(sentences):
    for fps in (24.0, 60.0):
        lid = column(performed(sentences, fps), "eyeBlinkLeft")
        peaks = lid[1:-1][(lid[1:-1] > 0.3) & (lid[1:-1] > lid[:-2]) & (lid[1:-1] >= lid[2:])]
        assert (peaks > 0.99).mean() > 0.5  # some are not complete
        assert not ((peaks > 0.92) & (peaks < 0.99)).any()  # but none merely misses a frame


def test_eyes_dart_and_rest_and_answer_to_speech(sentences):
    moved = performed(sentences, life=replace(STILL, gaze=1.0))
    gaze = gaze_degrees(moved)
    speed = np.hypot(*np.diff(gaze, axis=0).T) * 60
    assert (speed < 1).mean() > 0.85  # rests most of the time
    assert 60 < speed.max() < 700  # degrees a second
    away = np.hypot(*gaze.T) > 4.0
    assert 0.05 < away.mean() < 0.4
    assert np.abs(gaze).max() < 22
    silent = performed(np.zeros_like(sentences), life=replace(STILL, gaze=1.0))
    assert (np.hypot(*gaze_degrees(silent).T) > 4.0).mean() < 0.6 * away.mean()
    blink, down = column(moved, "eyeBlinkLeft"), column(moved, "eyeLookDownLeft")
    np.testing.assert_allclose(blink, 0.2 * down, atol=1e-6)  # lids go down with the eyes


def test_eyes_stay_on_the_listener_while_the_head_turns(sentences):
    still = performed(sentences, life=replace(STILL, gaze=1.0))
    turning = performed(sentences, life=replace(STILL, gaze=1.0, head=1.0))
    in_space = gaze_degrees(turning) + np.degrees(turning.head[:, :2]) * (1, -1)
    np.testing.assert_allclose(in_space, gaze_degrees(still), atol=1e-3)


def test_brows_rise_with_the_voice_not_with_noise(sentences):
    brow = column(performed(sentences, life=replace(STILL, brows=1.0)), "browInnerUp")
    raises = (np.diff((brow > 0.06).astype(int)) == 1).sum()
    assert 6 <= raises <= 24  # a minute
    assert 0.1 < brow.max() < 0.5
    noise = 0.1 * np.random.default_rng(0).standard_normal(len(sentences)).astype(np.float32)
    assert column(performed(noise), "browInnerUp").max() < 0.06
    # Accents in a steady tone: loudness and pitch jump together.
    times, accents = np.arange(30 * 16000) / 16000, np.arange(2.0, 28.0, 2.6)
    jump = np.exp(-0.5 * ((times[:, None] - accents) / 0.09) ** 2).sum(axis=1)
    phase = 2 * np.pi * np.cumsum(120 * 2 ** (0.6 * jump)) / 16000
    tone = sum(np.sin(k * phase) / k for k in range(1, 9)) * (0.03 + 0.17 * jump)
    brow = column(performed(tone.astype(np.float32), life=Life(seed=1)), "browInnerUp")
    top = (brow[1:-1] > 0.08) & (brow[1:-1] > brow[:-2]) & (brow[1:-1] >= brow[2:])
    tops = (1 + np.flatnonzero(top)) / 60
    assert len(tops) >= 2
    late = tops - accents[np.abs(tops[:, None] - accents).argmin(axis=1)]
    assert (late > -0.1).all() and (late < 0.35).all()  # seconds


def test_the_head_moves_little_smoothly_and_nods(sentences):
    degrees = np.degrees(performed(sentences).head)
    assert np.abs(degrees).max() < 7
    assert (degrees.std(axis=0) > 0.5).all()
    speed = np.diff(degrees, axis=0) * 60
    assert np.abs(speed).max() < 60  # degrees a second
    spectrum = np.abs(np.fft.rfft(speed - speed.mean(axis=0), axis=0)) ** 2
    fast = np.fft.rfftfreq(len(speed), 1 / 60) > 8
    assert spectrum[fast].sum() < 0.02 * spectrum.sum()  # no jitter
    silent = np.degrees(performed(np.zeros_like(sentences)).head)
    assert silent.std() < 0.5 * degrees.std()


def test_breath_is_drawn_in_pauses(sentences):
    nose = column(performed(sentences, life=replace(STILL, breath=1.0)), "noseSneerLeft")
    assert 0.02 < nose.max() < 0.06  # moves the lips by a hundredth of a millimetre
    deep = nose > 0.8 * nose.max()
    power = np.add.reduceat(sentences**2, np.arange(0, len(sentences), 16000 // 60))[: len(nose)]
    pause = np.convolve(power < 0.01 * power.max(), np.ones(30), "same") > 12
    assert pause[deep].mean() > 0.9


def test_what_is_kept_does_not_grow_with_the_sound(hello):
    stream = liveliness.Liveliness(6.0, Life())
    sizes = []
    for _ in range(3):
        for _ in range(6):
            stream.push(hello)
        sizes.append(sum(len(held) for held in _held(stream)))
    assert max(sizes) < 1.1 * sizes[0]


def _held(thing, seen=None):
    """Every list, deque and array that an object of Furrow holds on to."""
    seen = seen if seen is not None else set()
    if id(thing) in seen:
        return
    seen.add(id(thing))
    for value in vars(thing).values():
        if type(value).__module__.startswith("furrow.") and hasattr(value, "__dict__"):
            yield from _held(value, seen)
        elif hasattr(value, "__len__") and not isinstance(value, str):
            yield value
