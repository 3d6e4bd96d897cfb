"""`furrow detail`: one displacement map."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..backend.errors import FurrowError
from ..backend.formats.identity import ADJUSTMENTS
from . import flags

if TYPE_CHECKING:
    from ..backend.formats.identity import Identity


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    who = flags.add_identity(parser, required=True)
    who.add_argument("--random-detail", type=flags.natural, metavar="N",
                     help="a random person's skin from the mapping network, drawn with this seed")  # fmt: skip
    parser.add_argument("--expression", metavar="NAME=WEIGHT,...",
                        help="ARKit weights in [0, 1], as in jawOpen=0.7,browInnerUp=1; \"\" is neutral")  # fmt: skip
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="MAP.exr|.png",
                        help="OpenEXR in millimetres, or 16-bit PNG")  # fmt: skip
    flags.add_resolution(parser, None)
    flags.add_engine(parser)
    parser.add_argument("--networks", type=Path, metavar="DIR",
                        help="folder of other networks, as furrow train exports them (default: what ships)")  # fmt: skip
    _add_space(parser)


def _add_space(parser: argparse.ArgumentParser) -> None:
    from ..backend.detail.space import TRUNCATION_LIMIT

    group = parser.add_argument_group("moving in the space of styles")
    group.add_argument("--detail-seed", type=flags.natural, metavar="N",
                       help="pores and small variation (default: the identity's)")  # fmt: skip
    group.add_argument("--adjust", metavar="NAME=VALUE,...",
                       help=f"{', '.join(ADJUSTMENTS)}, each in [-1, 1] (default: the identity's)")  # fmt: skip
    group.add_argument("--truncation", type=float, default=1.0, metavar="PSI",
                       help=f"0 is the mean of all faces, 1 the face itself, {TRUNCATION_LIMIT:g} the most (default: 1)")  # fmt: skip
    group.add_argument("--mix-identity", type=Path, metavar="FILE",
                       help="take the styles of some layers from this identity")  # fmt: skip
    group.add_argument("--mix-from", type=flags.natural, metavar="LAYER",
                       help="first style layer that comes from it, 0 the coarsest (default: the one that decides pores)")  # fmt: skip


def run(arguments: argparse.Namespace) -> int:
    """Write the map."""
    from ..backend.detail import detail_model
    from ..backend.detail.engines import engines
    from ..backend.formats import expressions, maps

    _check(arguments)
    expression = expressions.parse_weights(arguments.expression or "")
    person, other = _people(arguments)
    networks = arguments.networks or engines.DETAIL
    model = detail_model.DetailModel(engines.load(arguments.engine, networks), networks)
    space = model.space
    if arguments.random_detail is None:
        w = model.w_plus(person, expression)
    else:
        w = space.adjusted(space.random(arguments.random_detail), person.adjustments)
    if other is not None:
        layer = space.relief_layer if arguments.mix_from is None else arguments.mix_from
        w = space.mixed(w, model.w_plus(other, expression), layer)
    w = space.truncated(w, arguments.truncation)
    map_mm = model.synthesise(w, person.detail_seed, arguments.resolution or model.resolution)
    maps.write_map(arguments.output, map_mm)
    height, width = map_mm.shape
    print(
        f"{arguments.output}: {width} x {height}, {map_mm.min():.3f} to {map_mm.max():.3f} mm,"
        f" RMS {(map_mm**2).mean() ** 0.5:.3f} mm"
    )
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Refuse what cannot work before the networks load."""
    from ..backend.formats import maps

    if arguments.output.suffix.lower() not in maps.SUFFIXES:
        raise FurrowError(f"{arguments.output} must end in {' or '.join(maps.SUFFIXES)}.")
    if arguments.random_detail is None and arguments.expression is None:
        raise FurrowError('An identity needs --expression NAME=WEIGHT,...; "" is neutral.')
    if arguments.random_detail is not None and arguments.expression is not None:
        raise FurrowError("--random-detail draws an expression too; leave --expression out.")
    if arguments.mix_from is not None and arguments.mix_identity is None:
        raise FurrowError("--mix-from says where --mix-identity FILE begins; give that too.")


def _people(arguments: argparse.Namespace) -> tuple[Identity, Identity | None]:
    """Whose map it is, and whose styles are mixed in; with --random-detail only seed and adjustments count."""
    from ..backend.formats import identity
    from ..backend.head import bilinear

    model = bilinear.Head.load()
    if arguments.identity:
        person = model.read_identity(arguments.identity)
    elif arguments.random_identity is not None:
        person = model.random(arguments.random_identity)
    else:
        person = replace(model.average(), detail_seed=arguments.random_detail)
    if arguments.detail_seed is not None:
        person = replace(person, detail_seed=arguments.detail_seed)
    if arguments.adjust is not None:
        person = replace(person, adjustments=identity.parse_adjustments(arguments.adjust))
    if arguments.mix_identity is None:
        return person, None
    return person, model.read_identity(arguments.mix_identity)
