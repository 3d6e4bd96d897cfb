"""A basis of wrinkles: what it must equal, what it says of its error, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from furrow.backend.detail import hinges, wrinkle_basis, wrinkle_samples
from furrow.backend.detail.detail_model import DetailModel
from furrow.backend.detail.engines import engines
from furrow.backend.detail.map_error import error_of, skin_texels
from furrow.backend.errors import FurrowError
from furrow.backend.formats.expressions import INDEX
from furrow.backend.formats.identity import Identity
from furrow.backend.head.bilinear import Head
from furrow.backend.process.server import Request
from furrow.backend.process.services import Services
from furrow.backend.system import memory

PERSON = Identity(np.linspace(-1, 1, 6, dtype=np.float32), detail_seed=5)
NEUTRAL = np.zeros(52, np.float32)


@pytest.fixture(scope="module")
def networks(tiny_networks):
    return tiny_networks()


@pytest.fixture(scope="module")
def source(networks):
    return wrinkle_basis.Source(DetailModel(engines.load("ort", networks), networks), PERSON)


@pytest.fixture(scope="module")
def basis(source):
    return wrinkle_basis.fit(source, 256, components=4, correctives=16)


def test_neutral_is_exact_and_expressions_add_what_the_linear_part_adds(source, basis):
    exact = source.exact(NEUTRAL, 256)
    np.testing.assert_allclose(basis.map(NEUTRAL), exact, rtol=1e-3, atol=1e-6)
    still = source.mixture(source.styles(NEUTRAL))
    for expression in wrinkle_samples.held_out(4)["strong"]:
        change = source.mixture(source.styles(expression)) - still
        difference = basis.map(expression) - basis.maps[0]
        # The tiny encoder is linear, so nothing but the rounding of maps to half floats is lost.
        assert np.abs(difference - change).max() < 2e-3 * np.abs(change).max()


def test_the_same_person_gives_the_same_numbers(source, basis):
    again = wrinkle_basis.fit(source, 256, components=4, correctives=16)
    np.testing.assert_array_equal(again.maps, basis.maps)
    np.testing.assert_array_equal(again.coefficients, basis.coefficients)


def test_error_is_that_of_exact_maps_on_skin(source, basis):
    skin = skin_texels(Head.load(), 256)
    for kind, expressions in wrinkle_samples.held_out(wrinkle_basis.HELD_OUT).items():
        wrong = [(basis.map(e) - source.exact(e, 256))[skin] for e in expressions]
        assert basis.errors[kind] == error_of(np.stack(wrong))
        assert 0 < basis.errors[kind].rms <= basis.errors[kind].p99 <= basis.errors[kind].largest


def test_correctives_are_found_where_shapes_overlap():
    samples = wrinkle_samples.to_fit()
    smile, puff = INDEX["mouthSmileLeft"], INDEX["cheekPuff"]
    targets = np.zeros((len(samples), 2))
    targets[:, 0] = samples[:, smile]
    targets[:, 1] = 3 * np.maximum(0, samples[:, smile] + samples[:, puff] - 0.5)
    correctives = hinges.choose(samples, targets, np.ones(len(samples)), 3)
    assert len(correctives) == 3
    assert (correctives.first[0], correctives.second[0]) == tuple(sorted((smile, puff)))
    assert correctives.threshold[0] == 0.5
    together = hinges.weights().followed_by(correctives)
    features = together.values(samples)
    left = targets - features @ hinges.solve(features, targets)
    assert np.abs(left).max() < 3e-3


def test_samples_are_expressions_and_those_held_out_are_others():
    samples = wrinkle_samples.to_fit()
    assert samples.min() == 0 and samples.max() == 1 and not samples[0].any()
    for others in wrinkle_samples.held_out(8).values():
        assert others.min() >= 0 and others.max() <= 1
        nearest = np.abs(others[:, None] - samples[None]).sum(2).min(1)
        assert (nearest[others.any(1)] > 1e-3).all()


def test_skin_is_where_faces_of_skin_lie_on_the_tile():
    head = Head.load()
    mask = skin_texels(head, 512)
    assert 0.5 < mask.mean() < 0.9
    for name, visible in (("nose_bridge", True), ("chin", True), ("forehead", True)):
        face = np.flatnonzero((head.faces == head.landmarks[name]).any(1))[0]
        corner = np.flatnonzero(head.faces[face] == head.landmarks[name])[0]
        u, v = head.uv[face, corner]
        assert mask[int((1 - v) * 512), int(u * 512)] == visible
    assert not mask[0, 0]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [((256, 7), "4, 8, 16, 32 components, not 7"), ((300, 4), "256, 512 or 1024")],
)
def test_sizes_that_there_are_not_are_refused(source, arguments, text):
    with pytest.raises(FurrowError, match=text):
        wrinkle_basis.fit(source, *arguments)


def test_too_little_memory_is_said_before_the_work(source, monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda: 50 << 20)
    with pytest.raises(FurrowError, match="MiB of memory, 50 MiB are free"):
        wrinkle_basis.fit(source, 1024, 32)


def test_free_memory_is_known_here():
    assert 1 << 20 < memory.available_bytes() < 1 << 50


def test_networks_without_a_linear_part_are_refused(source, monkeypatch):
    monkeypatch.setattr(source.model.engine, "mixture", lambda w, rest: rest)
    with pytest.raises(FurrowError, match="no linear part"):
        wrinkle_basis.fit(source, 256, 4)


def test_the_backend_answers_and_can_be_cancelled(networks, basis):
    services = Services("ort", networks)
    output: list[dict] = []
    params = {"identity": PERSON.request(), "resolution": 256, "components": 4}
    request = Request(output.append, 1, params, None)
    result = services.wrinkle_basis(request)
    assert result["array"].shape == (3, 256, 256)  # its linear part has two dimensions
    count = len(hinges.weights()) + wrinkle_basis.CORRECTIVES
    assert np.shape(result["coefficients"]) == (count, 2)
    assert max(result["second"]) == hinges.NONE and min(result["threshold"]) == 0
    shares = [message["progress"] for message in output]
    assert shares == sorted(shares)

    request = Request(lambda _message: request.stop("cancelled"), 2, params, None)
    with pytest.raises(FurrowError) as stopped:
        services.wrinkle_basis(request)
    assert stopped.value.code == "cancelled"
