"""preview.mp4 shows every frame, is heard, and is made without Furrow in the child that renders it."""

from __future__ import annotations

import wave

import numpy as np
import pytest

bpy = pytest.importorskip("bpy")

from furrow.addon.bake import baked_file, film  # noqa: E402
from furrow.addon.bake.take import Take  # noqa: E402
from furrow.addon.head import head_object  # noqa: E402
from furrow.backend.errors import FurrowError  # noqa: E402
from furrow.backend.formats.expressions import INDEX  # noqa: E402
from furrow.backend.formats.weights import Weights  # noqa: E402

FRAMES = 2


@pytest.fixture
def saved(scene, tmp_path, monkeypatch):
    """A saved head that opens its mouth, with a tone."""
    rows = np.zeros((FRAMES, 52), np.float32)
    rows[:, INDEX["jawOpen"]] = (0, 1)
    take = Take(head_object.head().average(), Weights(rows, 25.0), 1, 256, {"name": "yawn"})
    tone = np.sin(np.arange(16000) * 0.2) * 12000
    with wave.open(str(tmp_path / "tone.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(tone.astype("<i2").tobytes())
    baked_file.new_scene(take, tmp_path / "tone.wav")
    monkeypatch.setattr(film, "SIZE", (48, 56))
    return baked_file.save(tmp_path)


def test_the_film_moves_has_every_frame_and_the_sound(saved, tmp_path, monkeypatch):
    import aud

    frames = []
    encode = film.encode

    def look(path, files, first):
        for file in files:
            image = bpy.data.images.load(file, check_existing=False)
            frames.append(np.array(image.pixels[:]))
        return encode(path, files, first)

    monkeypatch.setattr(film, "encode", look)
    path, engine = film.render(saved, "Head", range(1, FRAMES + 1), tmp_path, lambda *_: None)
    assert np.abs(frames[0] - frames[1]).max() > 0.2  # the jaw has fallen
    clip = bpy.data.movieclips.load(str(path))
    assert (*clip.size, clip.frame_duration, clip.fps) == (48, 56, FRAMES, 25)
    sound = aud.Sound.file(str(path))
    assert np.abs(sound.data()).max() > 0.05
    assert "Cycles" in engine or "EEVEE" in engine
    assert [p.name for p in tmp_path.glob("*.mp4")] == ["preview.mp4"]


def test_a_child_that_dies_is_one_clear_line(saved, tmp_path):
    with pytest.raises(FurrowError, match="Frame 1 of the film was not rendered"):
        film.render(saved, "Nobody", range(1, 3), tmp_path, lambda *_: None)
    assert not (tmp_path / "preview.mp4").exists()
