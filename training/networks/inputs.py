"""How much each input of the encoder counts."""

from __future__ import annotations

from collections.abc import Mapping

from ...backend.detail.engines.torch_encoder import Encoder
from ...backend.formats.identity import SKIN

SHAPE_GAIN = 0.02
"""Of the shape coefficients, which say nothing of this corpus's furrows; FaceScape's do: 1."""

SKIN_GAINS = {
    "forehead_depth": 5.0,
    "forehead_spacing": 20.0,
    "forehead_bow": 6.0,
    "asymmetry": 6.0,
}
"""Of the coefficients that shift this corpus's forehead lines."""


def scale_inputs(
    encoder: Encoder,
    shape_gain: float = SHAPE_GAIN,
    skin_gains: Mapping[str, float] = SKIN_GAINS,
) -> None:
    """Weigh the encoder's inputs, and centre the skin coefficients.

    A gain of 3 on all skin coefficients and expressions fits the training people closer and unseen
    people worse: the function comes out less smooth. It pays where lines do move fast.

    Parameters
    ----------
    shape_gain
        Of every shape coefficient.
    skin_gains
        Of skin coefficients by name, 1 unless named.
    """
    shape = encoder.config.identity - len(SKIN)
    encoder.shift[shape : shape + len(SKIN)] = 0.5
    encoder.gain[:shape] = shape_gain
    for name, gain in skin_gains.items():
        encoder.gain[shape + SKIN.index(name)] = gain
