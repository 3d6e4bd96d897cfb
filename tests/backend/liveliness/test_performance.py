"""What may be asked of a performance, in requests and on command lines."""

from dataclasses import asdict

import numpy as np
import pytest
from furrow.backend.errors import FurrowError
from furrow.backend.liveliness import performance
from furrow.backend.liveliness.performance import Life, Style


def test_a_request_says_all_or_nothing():
    assert performance.from_request({}) == (Style(), Life())
    style = Style("sad", 1.2, 0.7, performance.random_speaker(4))
    life = Life(0.5, 2, 0, 1, 0.3, 9)
    assert performance.from_request({"style": asdict(style), "life": asdict(life)}) == (style, life)


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"style": {"emotion": "bored"}}, "surprised"),
        ({"style": {"mood": 1}}, "articulation"),
        ({"style": {"speaker": [0.0]}}, "8 habits"),
        ({"style": {"articulation": float("nan")}}, "articulation"),
        ({"style": "sad"}, "object"),
        ({"life": {"gaze": 3}}, "gaze"),
        ({"life": {"seed": 1.5}}, "whole number"),
    ],
)
def test_what_cannot_be_is_refused(params, words):
    with pytest.raises(FurrowError, match=words):
        performance.from_request(params)


def test_values_of_flags_and_sliders_are_ordinary_unless_said_otherwise():
    assert performance.from_values() == (Style(), Life())
    style, life = performance.from_values(emotion="sad", speaker=4, head=0.3, seed=9)
    assert style == Style("sad", speaker=performance.random_speaker(4))
    assert life == Life(head=0.3, seed=9)
    with pytest.raises(FurrowError, match="gaze"):
        performance.from_values(gaze=3.0)


def test_the_style_is_what_the_network_is_told():
    neutral, happy = Style(intensity=1.5).vector(), Style("happy", 0.5, 1.3).vector()
    assert neutral.shape == (performance.STYLE_SIZE,) and not neutral.any()
    np.testing.assert_allclose(happy[happy != 0], [0.5, 0.3], rtol=1e-5)
    assert performance.random_speaker(3) == performance.random_speaker(3)
    assert performance.random_speaker(3) != performance.random_speaker(4)
