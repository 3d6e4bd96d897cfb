"""Whatever a program called its shape keys, the 52 expressions are found, and nothing else is."""

from __future__ import annotations

import pytest
from furrow.addon.animation import shape_names
from furrow.backend.formats.expressions import EXPRESSIONS


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("jawOpen", "jawOpen"),
        ("JawOpen", "jawOpen"),
        ("jaw_open", "jawOpen"),
        ("jaw-open", "jawOpen"),
        ("Jaw Open", "jawOpen"),
        ("JAW_OPEN", "jawOpen"),
        ("blendShape1.jawOpen", "jawOpen"),
        ("ARKit_jawOpen", "jawOpen"),
        ("Face.M_F00.jawOpen", "jawOpen"),
        ("head|Jaw_Open", "jawOpen"),
        ("eyeBlink_L", "eyeBlinkLeft"),
        ("eyeBlink.R", "eyeBlinkRight"),
        ("EyeBlinkL", "eyeBlinkLeft"),
        ("eye_blink_r", "eyeBlinkRight"),
        ("blendShape2.eyeBlink_Left", "eyeBlinkLeft"),
        ("Mouth_L", "mouthLeft"),
        ("mouthSmileRight", "mouthSmileRight"),
    ],
)
def test_names_as_programs_spell_them(name, expression):
    assert shape_names.match(["Basis", name]) == {expression: name}


@pytest.mark.parametrize(
    "name",
    ["Basis", "", "open", "upperJawOpen", "jawOpen.001", "jawOpen_mouthClose", "jawOpened",
     "mouthSmileLeft_mouthSmileRight", "browInnerUp_L", "mouthSmile", "jawOpen日"],
)  # fmt: skip
def test_names_that_only_look_alike_are_left_alone(name):
    assert shape_names.match([name]) == {}


@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda n: n[0].upper() + n[1:],
        lambda n: n.removesuffix("Left") + "_L" if n.endswith("Left") else n,
        lambda n: "Face.M_F00." + n.removesuffix("Right") + (".R" if n.endswith("Right") else ""),
        lambda n: "".join("_" + c.lower() if c.isupper() else c for c in n),
    ],
)
def test_a_whole_set_is_found_without_gaps_or_mix_ups(spell):
    found = shape_names.match(["Basis", *map(spell, EXPRESSIONS)])
    assert found == {name: spell(name) for name in EXPRESSIONS}
    assert shape_names.missing(found) == []


def test_of_several_keys_the_closest_name_wins_then_the_first():
    keys = ["ARKit_jawOpen", "Jaw_Open", "jawOpen", "JawOpen", "a.tongueOut", "b.tongueOut"]
    assert shape_names.match(keys) == {"jawOpen": "jawOpen", "tongueOut": "a.tongueOut"}
    assert shape_names.match(keys[:2] + keys[3:])["jawOpen"] == "Jaw_Open"


def test_what_is_missing_is_told_in_a_line():
    found = shape_names.match(name for name in EXPRESSIONS if not name.startswith("eye"))
    absent = shape_names.missing(found)
    assert len(absent) == 14
    assert shape_names.in_words(absent) == (
        "eyeBlinkLeft, eyeLookDownLeft, eyeLookInLeft and 11 more"
    )
    assert shape_names.in_words(absent[:2]) == "eyeBlinkLeft and eyeLookDownLeft"
    assert shape_names.in_words(absent[:1]) == "eyeBlinkLeft"
