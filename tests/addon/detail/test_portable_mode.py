"""Portable heads: equal to live ones, and playing where there is no Furrow."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import bpy
import numpy as np
import pytest
from furrow.addon.detail import (
    detail_modes,
    live_mode,
    portable_material,
    portable_mode,
    portable_nodes,
)
from furrow.addon.head import head_object
from furrow.addon.interface import properties
from furrow.backend.detail import hinges, wrinkle_basis, wrinkle_samples
from furrow.backend.detail.detail_model import DetailModel
from furrow.backend.detail.engines import engines
from furrow.backend.detail.map_error import Error
from furrow.backend.detail.wrinkle_basis import WrinkleBasis
from furrow.backend.formats.expressions import EXPRESSIONS

ERROR = Error(1.0, 2.0, 3.0)
SIZE = 256


@pytest.fixture(scope="module")
def basis() -> WrinkleBasis:
    """Five smooth maps, mixed by hinges drawn at random."""
    random = np.random.RandomState(4)
    v, u = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32) / SIZE
    maps = [
        np.sin(random.uniform(3, 30) * u + i) * np.cos(random.uniform(3, 30) * v) for i in range(5)
    ]
    candidates = hinges.candidates()
    subset = candidates.subset(random.choice(len(candidates), 20, replace=False))
    every = hinges.weights().followed_by(subset)
    coefficients = 0.2 * random.standard_normal((len(every), 4))
    return WrinkleBasis(
        np.stack(maps).astype(np.float16).astype(np.float32),
        every,
        coefficients.astype(np.float32),
        {"speech": ERROR, "strong": ERROR},
    )


def answer(basis: WrinkleBasis) -> dict:
    """As the client hands over what the backend says."""
    return {"array": basis.maps, **json.loads(json.dumps(basis.message()))}


@pytest.fixture
def portable(head, basis):
    """A head that is portable, its vertices displaced without subdivision."""
    detail_modes.make_portable(head, answer(basis))
    return head


def points(obj) -> np.ndarray:
    """Evaluated vertices (N, 3) in metres."""
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    co = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", co.ravel())
    return co


def set_weights(obj, weights: np.ndarray) -> None:
    head_object.set_expression(obj, dict(zip(EXPRESSIONS, weights.tolist(), strict=True)))


def animate(obj) -> None:
    """Two of our keys and one of the artist's move over ten frames."""
    own = obj.shape_key_add(name="my own", from_mix=False)
    own.data[0].co.x += 0.01
    for name, last in (("jawOpen", 1.0), ("mouthSmileLeft", 0.6), ("my own", 1.0)):
        block = obj.data.shape_keys.key_blocks[name]
        for frame, value in ((1, 0.0), (10, last)):
            block.value = value
            block.keyframe_insert("value", frame=frame)


FRAMES = (1, 4, 10)


def played(obj) -> np.ndarray:
    """Vertices (frames, N, 3)."""
    frames = []
    for frame in FRAMES:
        bpy.context.scene.frame_set(frame)
        frames.append(points(obj))
    return np.stack(frames)


ELSEWHERE = """
import sys, bpy, numpy as np
file, out, frames = sys.argv[1], sys.argv[2], [int(f) for f in sys.argv[3].split(",")]
bpy.ops.wm.open_mainfile(filepath=file, use_scripts=False)
head = next(o for o in bpy.context.scene.objects if o.type == "MESH")
assert not hasattr(head, "furrow")
used = {n.inputs["Image"].default_value for g in bpy.data.node_groups for n in g.nodes
        if n.bl_idname == "GeometryNodeImageTexture"}
assert used and all(i.packed_file for i in used)
assert len(head.animation_data.drivers) == 52
for curve in head.animation_data.drivers:
    assert curve.driver.type == "SUM" and curve.driver.is_valid
played = []
for frame in frames:
    bpy.context.scene.frame_set(frame)
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    co = np.empty((len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", co.ravel())
    played.append(co)
np.save(out, played)
"""


def play_elsewhere(python: Path, file: Path, out: Path) -> np.ndarray:
    """What a Blender without Furrow, and without scripts, shows of a file's head."""
    command = [python, "-c", ELSEWHERE, file, out, ",".join(map(str, FRAMES))]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return np.load(out)


def pythons(root: Path) -> list[Path]:
    """Those with a bpy module: 4.5, and 4.2 and 5.0 where they have been set up."""
    others = [root / f".venv-{name}" / "bin" / "python" for name in ("bpy42", "bpy50")]
    return [Path(sys.executable), *filter(Path.exists, others)]


def test_vertices_are_those_of_the_displace_modifier(portable, basis):
    portable.furrow.detail_viewport_levels = 1
    random = np.random.RandomState(0)
    expressions = [np.zeros(52, np.float32), *wrinkle_samples.mixtures(random, 2, 1.0)]
    surfaces = []
    for expression in expressions:
        set_weights(portable, expression)
        surfaces.append(points(portable))
    for expression, surface in zip(expressions, surfaces, strict=True):
        set_weights(portable, expression)
        detail_modes.switch(portable, "LIVE")
        live_mode.show_map(portable, basis.map(expression))
        assert portable.furrow.detail_mode == "LIVE"
        aim = points(portable)
        off = np.abs(surface - aim).max(1)
        assert np.quantile(off, 0.999) < 5e-8
        assert (
            off.max() < 2e-6
        )  # two vertices lie on the tile's border, where Displace reads beyond
        portable.furrow.detail_enabled = False
        assert np.abs(points(portable) - aim).max() > 1e-4
        portable.furrow.detail_enabled = True


def test_weights_beyond_their_range_are_those_at_its_end(portable):
    blocks = portable.data.shape_keys.key_blocks
    blocks["jawOpen"].slider_max = 2.0
    blocks["jawOpen"].value = 1.0
    one = displaced_only(portable)
    blocks["jawOpen"].value = 1.5
    np.testing.assert_allclose(displaced_only(portable), one, atol=2e-5)


def displaced_only(obj) -> np.ndarray:
    """Metres along the normals, per vertex."""
    displaced = points(obj)
    obj.furrow.detail_enabled = False
    mesh = obj.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    still, normals = np.empty((2, len(mesh.vertices), 3), np.float32)
    mesh.vertices.foreach_get("co", still.ravel())
    mesh.vertices.foreach_get("normal", normals.ravel())
    obj.furrow.detail_enabled = True
    return ((displaced - still) * normals).sum(1)


def test_strength_and_the_switch_act(portable):
    portable.data.shape_keys.key_blocks["cheekPuff"].value = 0.8
    full = displaced_only(portable)
    assert np.abs(full).max() > 1e-4
    portable.furrow.detail_strength = 0.5
    np.testing.assert_allclose(displaced_only(portable), 0.5 * full, atol=1e-7)
    portable.furrow.detail_enabled = False
    modifier = portable.modifiers[portable_mode.MODIFIER]
    assert not modifier.show_viewport and not modifier.show_render


def test_a_saved_head_plays_without_furrow(portable, root, tmp_path):
    animate(portable)
    here = played(portable)
    assert np.abs(here[2] - here[0]).max() > 5e-3
    file = tmp_path / "head.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    for python in pythons(root):
        there = play_elsewhere(python, file, tmp_path / "there.npy")
        np.testing.assert_allclose(there, here, atol=1e-7)


def test_it_plays_linked_and_overridden(portable, root, tmp_path):
    animate(portable)
    here = played(portable)
    file, shot = tmp_path / "head.blend", tmp_path / "shot.blend"
    bpy.ops.wm.save_as_mainfile(filepath=str(file))
    bpy.ops.wm.read_homefile(use_empty=True, use_factory_startup=True)
    with bpy.data.libraries.load(str(file), link=True) as (_there, wanted):
        wanted.objects = ["Head"]
    (linked,) = wanted.objects
    bpy.context.scene.collection.objects.link(linked)
    np.testing.assert_allclose(played(linked), here, atol=1e-7)
    over = linked.override_hierarchy_create(bpy.context.scene, bpy.context.view_layer)
    bpy.context.scene.collection.objects.unlink(linked)
    assert over.override_library is not None
    bpy.ops.wm.save_as_mainfile(filepath=str(shot))
    for python in pythons(root):
        there = play_elsewhere(python, shot, tmp_path / "there.npy")
        np.testing.assert_allclose(there, here, atol=1e-7)


def test_shading_leaves_vertices_and_gives_the_material_its_weights(portable, basis):
    expression = wrinkle_samples.held_out(1)["strong"][0]
    set_weights(portable, expression)
    portable.furrow.detail_viewport = "SHADED"
    assert np.abs(displaced_only(portable)).max() == 0
    mesh = portable.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    weights = np.empty((2, len(mesh.vertices), 3), np.float32)
    for index in range(2):
        name = portable_nodes.ATTRIBUTE.format(index)
        mesh.attributes[name].data.foreach_get("vector", weights[index].ravel())
    skin = head_object.head().groups["skin"]
    values = weights[:, skin == 1].transpose(1, 0, 2).reshape(-1, 6)
    aim = [1.0, *basis.weights(expression[None])[0], 0.0]
    np.testing.assert_allclose(values, np.tile(0.001 * np.array(aim), (len(values), 1)), atol=1e-7)
    assert not weights[:, skin == 0].any()

    skin_material = portable.data.materials[0]
    name = skin_material.name
    node = skin_material.node_tree.nodes[portable_material.NODE]
    (output,) = {link.to_node for link in node.outputs[0].links}
    assert output.type == "OUTPUT_MATERIAL"
    portable.furrow.detail_viewport = "DISPLACED"
    assert portable.data.materials[0].get("furrow_slot") == "skin"
    assert name not in bpy.data.materials


def test_a_large_basis_is_shaded_by_the_first_images(head, basis):
    more = np.concatenate([basis.maps, np.zeros((20, SIZE, SIZE), np.float32)])
    coefficients = np.pad(basis.coefficients, [(0, 0), (0, 20)])
    large = WrinkleBasis(more, basis.hinges, coefficients, basis.errors)
    detail_modes.make_portable(head, answer(large))
    head.furrow.detail_viewport = "SHADED"
    group = head.data.materials[0].node_tree.nodes[portable_material.NODE].node_tree
    images = [node.image for node in group.nodes if node.type == "TEX_IMAGE"]
    assert len(images) == 7
    mesh = head.evaluated_get(bpy.context.evaluated_depsgraph_get()).data
    names = [a.name for a in mesh.attributes if a.name.startswith("furrow_basis_")]
    assert names == [portable_nodes.ATTRIBUTE.format(index) for index in range(7)]


def test_the_file_is_small_and_names_no_folder_of_this_machine(portable):
    group = portable.modifiers[portable_mode.MODIFIER].node_group
    for image in portable_mode.basis_images(group):
        assert image.packed_file.size < SIZE * SIZE * 3 * 2  # half floats, compressed
        assert image.filepath.startswith("//")


def test_an_artists_material_keeps_what_it_is(portable):
    own = bpy.data.materials.new("Clay")
    if bpy.app.version < (5, 0):
        own.use_nodes = True
    portable.data.materials[0] = own
    before = len(own.node_tree.nodes)
    portable.furrow.portable_render = "SHADED"
    assert portable.data.materials[0] == own
    assert portable_material.NODE in own.node_tree.nodes
    portable.furrow.portable_render = "DISPLACED"
    assert portable.data.materials[0] == own
    assert len(own.node_tree.nodes) == before


def test_live_again_and_removed(portable):
    portable.furrow.detail_mode = "LIVE"
    assert not portable.modifiers[portable_mode.MODIFIER].show_render
    portable.furrow.detail_mode = "PORTABLE"
    assert portable.modifiers[portable_mode.MODIFIER].show_render
    assert bpy.ops.furrow.portable_remove() == {"FINISHED"}
    assert portable.furrow.detail_mode == "LIVE"
    assert portable_mode.MODIFIER not in portable.modifiers
    assert not portable.animation_data.drivers
    assert not bpy.data.node_groups
    assert not [i for i in bpy.data.images if "Wrinkle" in i.name]


def test_a_copy_follows_its_own_keys(portable):
    bpy.ops.object.duplicate()
    copy = bpy.context.object
    assert copy != portable and copy.data != portable.data
    neutral = displaced_only(copy)
    portable.data.shape_keys.key_blocks["cheekPuff"].value = 1.0
    np.testing.assert_array_equal(displaced_only(copy), neutral)
    copy.data.shape_keys.key_blocks["cheekPuff"].value = 1.0
    np.testing.assert_allclose(displaced_only(copy), displaced_only(portable), atol=1e-7)


def test_another_identity_is_noticed(portable):
    assert "1.0 µm in speech" in portable_mode.state_text(portable)
    portable.furrow.furrow_depth = 0.5
    assert "another identity" in portable_mode.state_text(portable)


def test_the_panel_offers_what_the_backend_makes():
    choices = tuple(int(name) for name, *_ in properties.COMPONENTS)
    assert choices == wrinkle_basis.COMPONENTS


def test_made_by_the_backend_it_is_as_near_as_it_says(head):
    head.furrow.portable_components, head.furrow.detail_resolution = "4", "256"
    assert bpy.ops.furrow.make_portable() == {"FINISHED"}
    assert head.furrow.detail_mode == "PORTABLE"
    group = head.modifiers[portable_mode.MODIFIER].node_group
    stated = json.loads(group["furrow_errors"])["speech"]["largest"]
    model = DetailModel(engines.load("ort"))
    identity = head_object.identity_of(head)
    expression = wrinkle_samples.held_out(wrinkle_basis.HELD_OUT)["speech"][1]
    set_weights(head, expression)
    portable_points = points(head)
    detail_modes.switch(head, "LIVE")
    live_mode.show_map(head, model.map(identity, expression, 256))
    off = 1e6 * np.linalg.norm(points(head) - portable_points, axis=1)
    assert 0 < off.max() < stated + 1
