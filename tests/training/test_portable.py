"""Figures of portable heads: what they measure, and that better methods come out better."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import torch
from furrow.backend.detail import wrinkle_samples
from furrow.backend.detail.detail_model import DetailModel
from furrow.backend.detail.engines import engines
from furrow.backend.formats.identity import Identity
from furrow.backend.head.bilinear import Head
from furrow.training.portable import evaluate

PERSON = Identity(np.linspace(-1, 1, 6, dtype=np.float32))


@pytest.fixture(scope="module")
def model(tiny_networks) -> DetailModel:
    folder = tiny_networks()
    return DetailModel(engines.load("ort", folder), folder)


@torch.inference_mode()
def test_differences_are_micrometres_on_skin(perceptual, model):
    comparison = evaluate.Comparison(Head.load(), model)
    expression = wrinkle_samples.held_out(1)["strong"][0]
    exact = model.map(PERSON, expression, model.resolution)
    bent = exact + 0.1 * np.sin(np.arange(256, dtype=np.float32))
    errors: dict = {}
    methods = {"same": lambda _e: exact, "moved": lambda _e: exact + 0.01, "bent": lambda _e: bent}
    comparison.compare(methods, "strong", PERSON, expression, errors)
    figures = {
        figure.name: figure.value
        for (kind, name), entry in errors.items()
        for figure in evaluate.summary(kind, name, entry)
    }
    assert figures["portable_strong_same_rms_um"] == figures["portable_strong_same_lpips"] == 0
    assert figures["portable_strong_moved_rms_um"] == pytest.approx(10, rel=1e-3)
    assert figures["portable_strong_moved_lpips"] < 1e-6  # light does not see a constant
    assert figures["portable_strong_bent_lpips"] > 1e-3
    assert figures["portable_strong_bent_largest_um"] == pytest.approx(100, rel=1e-2)


def test_every_method_is_nearer_than_a_still_map(model, monkeypatch):
    monkeypatch.setattr(evaluate, "COMPONENTS", (4, 16))
    monkeypatch.setattr(evaluate, "CORRECTIVES", 8)
    expression = wrinkle_samples.held_out(1)["strong"][0]
    exact = model.map(PERSON, expression, model.resolution)
    distance = {
        name: float(np.abs(method(expression) - exact).mean())
        for name, method in evaluate.methods_of(model, PERSON)
    }
    assert set(distance) == {
        "still",
        "live",
        *(f"k{count}{suffix}" for count in (4, 16) for suffix in ("", "_linear")),
    }
    assert max(distance["live"], distance["k4"], distance["k16"]) < distance["still"]
    # The tiny encoder is linear: a basis is the live map, but for its rounding.
    assert distance["k16"] == pytest.approx(distance["live"], rel=1e-2)
