"""The `furrow` command: reads the command line, then calls the backend, training, or Blender."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, TextIO, cast

from . import __version__
from .backend.errors import FurrowError

if TYPE_CHECKING:
    from .backend.formats.identity import Identity
    from .backend.liveliness.performance import Life, Style
    from .commands.bench import Peers


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of after a screen of usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 only on success, 130 after Ctrl-C."""
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
        sys.stdout.flush()
        return arguments.status
    except FurrowError as error:
        return _complain(str(error))
    except KeyboardInterrupt:
        _complain("stopped.")
        return 130
    except BrokenPipeError:
        # The reader of our output has gone; without this Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        if os.environ.get("FURROW_DEBUG"):
            raise
        reason = f"{type(error).__name__}: {error}".replace("\n", " ")
        return _complain(f"something unforeseen went wrong: {reason} (FURROW_DEBUG=1 shows where).")


def _complain(message: str) -> int:
    print(f"furrow: {message}", file=sys.stderr)
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="furrow", description="Detailed faces in Blender, from sliders and speech."
    )
    parser.add_argument("--version", action="version", version=f"furrow {__version__}")
    parser.set_defaults(status=0)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, summary, add_arguments, run in (
        ("speak", "speech to 52 ARKit weights over time", _add_speak, _speak),
        ("detail", "one displacement map of an identity and an expression", _add_detail, _detail),
        ("bake", "speech, weights or .blend files to heads that play without Furrow", _add_bake, _bake),
        ("assemble", "join the ranges of a bake that were baked apart", _add_assemble, _assemble),
        ("train", "learn a part anew", _add_train, _train),
        ("evaluate", "measure a part on data kept out of its training", _add_evaluate, _train),
        ("bench", "measure speed and memory on this machine", _add_json, _bench),
        ("doctor", "check what this installation needs", _add_json, _doctor),
    ):  # fmt: skip
        command = commands.add_parser(
            name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
        )
        add_arguments(command)
        command.set_defaults(run=run)
    return parser


# --- speak ---------------------------------------------------------------------------------------


def _add_speak(parser: argparse.ArgumentParser) -> None:
    from .backend.formats.audio import RATE
    from .commands import performance_arguments

    parser.add_argument("input", metavar="WAV|-", help="WAV, FLAC or OGG; - reads standard input")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.csv|.npz|-",
                        help="Live Link Face CSV, or arrays for NumPy; - streams CSV to standard output")  # fmt: skip
    parser.add_argument("--fps", type=_positive(float), default=30.0, metavar="N",
                        help="frames a second (default: 30)")  # fmt: skip
    parser.add_argument("--stream", action="store_true",
                        help="make frames as the sound comes, in memory that does not grow; what - does")  # fmt: skip
    parser.add_argument("--rate", type=_positive(int), default=RATE, metavar="HZ",
                        help="of a stream without a WAV header: 16-bit little-endian mono (default: 16000)")  # fmt: skip
    parser.add_argument("--network", type=Path, metavar="FOLDER",
                        help="a network of your own, as furrow train speech wrote it")  # fmt: skip
    performance_arguments.add_arguments(parser)


def _speak(arguments: argparse.Namespace) -> None:
    from .backend.formats import weights
    from .backend.speech import speech_model
    from .commands import performance_arguments

    style, life = performance_arguments.performance(arguments)
    if arguments.stream or arguments.output == Path("-"):
        _speak_live(arguments, style, life)
        return
    if arguments.output.suffix.lower() not in (".csv", ".npz"):
        raise FurrowError(f"{arguments.output} must end in .csv or .npz.")
    with _audio_file(arguments.input) as path, _progress_bar() as progress:
        model = speech_model.SpeechModel.load(arguments.network)
        values = model.weights(path, arguments.fps, style, life, progress)
    weights.write_weights(arguments.output, values)
    print(f"{arguments.output}: {len(values.values)} frames at {values.fps:g} frames a second")


def _speak_live(arguments: argparse.Namespace, style: Style, life: Life) -> None:
    """Write frames as the sound comes; ends when the sound does."""
    from .backend.formats import audio, pcm, weights
    from .backend.speech import speech_model

    live = arguments.output == Path("-")
    if not live and arguments.output.suffix.lower() != ".csv":
        raise FurrowError(f"{arguments.output} must end in .csv: an .npz is written as a whole.")
    stream = speech_model.SpeechModel.load(arguments.network).stream(arguments.fps, style, life)
    if arguments.input == "-":
        blocks = pcm.blocks(cast(pcm.Pipe, sys.stdin.buffer), arguments.rate)
    else:
        blocks = audio.blocks(arguments.input)
    with contextlib.nullcontext(sys.stdout) if live else _growing(arguments.output) as file:
        writer = weights.LiveLinkWriter(file, arguments.fps)
        for block in blocks:
            writer.write(stream.push(block))
        writer.write(stream.finish())


@contextlib.contextmanager
def _growing(path: Path) -> Iterator[TextIO]:
    """Yield a text file to write; it appears under its name when it is whole."""
    from .backend.formats import files

    with (
        files.whole_file(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        yield file


@contextlib.contextmanager
def _audio_file(name: str) -> Iterator[Path]:
    """Yield the path of the audio; standard input goes through a temporary file, since WAVs are seeked in."""
    if name != "-":
        yield Path(name)
        return
    with tempfile.NamedTemporaryFile(prefix="furrow-", suffix=".wav") as file:
        while block := sys.stdin.buffer.read(1 << 20):
            file.write(block)
        file.flush()
        yield Path(file.name)


# --- detail --------------------------------------------------------------------------------------


def _add_detail(parser: argparse.ArgumentParser) -> None:
    from .backend.detail.detail_model import RESOLUTIONS

    who = parser.add_mutually_exclusive_group(required=True)
    who.add_argument("--identity", type=Path, metavar="FILE", help="identity file (.json)")
    who.add_argument("--random-identity", type=_natural, metavar="N",
                     help="a plausible person drawn with this seed")  # fmt: skip
    who.add_argument("--random-detail", type=_natural, metavar="N",
                     help="a random person's skin from the mapping network, drawn with this seed")  # fmt: skip
    parser.add_argument("--expression", metavar="NAME=WEIGHT,...",
                        help="ARKit weights in [0, 1], as in jawOpen=0.7,browInnerUp=1; \"\" is neutral")  # fmt: skip
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="MAP.exr|.png",
                        help="OpenEXR in millimetres, or 16-bit PNG")  # fmt: skip
    parser.add_argument("--resolution", type=int, choices=RESOLUTIONS, metavar="|".join(map(str, RESOLUTIONS)),
                        help="pixels a side (default: the network's own)")  # fmt: skip
    parser.add_argument("--engine", default="auto", choices=("auto", "ort", "openvino", "torch"),
                        help="what runs the networks (default: auto)")  # fmt: skip
    _add_space(parser)


def _add_space(parser: argparse.ArgumentParser) -> None:
    from .backend.detail.space import TRUNCATION_LIMIT
    from .backend.formats.identity import ADJUSTMENTS

    group = parser.add_argument_group("moving in the space of styles")
    group.add_argument("--detail-seed", type=_natural, metavar="N",
                       help="pores and small variation (default: the identity's)")  # fmt: skip
    group.add_argument("--adjust", metavar="NAME=VALUE,...",
                       help=f"{', '.join(ADJUSTMENTS)}, each in [-1, 1] (default: the identity's)")  # fmt: skip
    group.add_argument("--truncation", type=float, default=1.0, metavar="PSI",
                       help=f"0 is the mean of all faces, 1 the face itself, {TRUNCATION_LIMIT:g} the most (default: 1)")  # fmt: skip
    group.add_argument("--mix-identity", type=Path, metavar="FILE",
                       help="take the styles of some layers from this identity")  # fmt: skip
    group.add_argument("--mix-from", type=_natural, metavar="LAYER",
                       help="first style layer that comes from it, 0 the coarsest (default: the one that decides pores)")  # fmt: skip


def _detail(arguments: argparse.Namespace) -> None:
    from .backend.detail import detail_model
    from .backend.detail.engines import engines
    from .backend.formats import expressions, maps

    if arguments.output.suffix.lower() not in maps.SUFFIXES:
        raise FurrowError(f"{arguments.output} must end in {' or '.join(maps.SUFFIXES)}.")
    if arguments.random_detail is None and arguments.expression is None:
        raise FurrowError('An identity needs --expression NAME=WEIGHT,...; "" is neutral.')
    if arguments.random_detail is not None and arguments.expression is not None:
        raise FurrowError("--random-detail draws an expression too; leave --expression out.")
    if arguments.mix_from is not None and arguments.mix_identity is None:
        raise FurrowError("--mix-from says where --mix-identity FILE begins; give that too.")
    expression = expressions.parse_weights(arguments.expression or "")
    person, other = _people(arguments)
    model = detail_model.DetailModel(engines.load(arguments.engine))
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


def _people(arguments: argparse.Namespace) -> tuple[Identity, Identity | None]:
    """Whose map it is, and whose styles are mixed in; with --random-detail only seed and adjustments count."""
    from .backend.formats import identity
    from .backend.head import bilinear

    model = bilinear.Head.load()
    if arguments.identity:
        person = identity.read_identity(arguments.identity, model.shape_count)
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
    return person, identity.read_identity(arguments.mix_identity, model.shape_count)


# --- bake, assemble ------------------------------------------------------------------------------


def _add_bake(parser: argparse.ArgumentParser) -> None:
    from .commands import bake_arguments

    parser.add_argument("--blender", type=Path, metavar="PATH",
                        help="the Blender to bake with (default: `blender` on PATH, else the bpy module)")  # fmt: skip
    bake_arguments.add_arguments(parser)


def _bake(arguments: argparse.Namespace) -> None:
    from .commands import bake_arguments, blender

    arguments.status = blender.run(arguments.blender, bake_arguments.to_argv(arguments))


def _add_assemble(parser: argparse.ArgumentParser) -> None:
    from .commands import bake_arguments

    parser.add_argument("--blender", type=Path, metavar="PATH", help="as for bake")
    bake_arguments.add_assemble_arguments(parser)


def _assemble(arguments: argparse.Namespace) -> None:
    from .commands import blender

    preview = ["--preview"] if arguments.preview else []
    folder = str(arguments.folder.resolve())
    arguments.status = blender.run(arguments.blender, ["assemble", folder, *preview])


# --- train, evaluate, bench, doctor --------------------------------------------------------------


def _add_train(parser: argparse.ArgumentParser) -> None:
    from .training import commands

    commands.add_arguments(parser, "train")


def _add_evaluate(parser: argparse.ArgumentParser) -> None:
    from .training import commands

    commands.add_arguments(parser, "evaluate")


def _train(arguments: argparse.Namespace) -> None:
    from .training import commands

    commands.run(arguments)


def _add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the result as JSON")


def _bench(arguments: argparse.Namespace) -> None:
    from .commands import bench

    with _progress_bar() as progress:
        result = bench.measure(progress, _peers)
    print(bench.report(result))
    if arguments.json:
        bench.write(arguments.json, result)
    if result.failed:
        raise FurrowError(f"not measured: {', '.join(result.failed)}; the reasons stand above.")


def _peers(networks: Path) -> Peers:
    """What maps are compared with; made with PyTorch, which need not be installed."""
    from .commands.bench import Peers
    from .training import commands

    try:
        module = commands.load("gan", "cost")
    except FurrowError as error:
        return Peers(absent=str(error))
    return cast(Peers, module.peers(networks))


def _doctor(arguments: argparse.Namespace) -> None:
    from .commands import doctor

    checks = doctor.examine()
    print(doctor.report(checks))
    if arguments.json:
        doctor.write(arguments.json, checks)
    if any(check.needed and not check.good for check in checks):
        raise FurrowError("something that Furrow needs is missing.", "missing_model")


# --- shared --------------------------------------------------------------------------------------


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = kind(text)
        if not 0 < value < float("inf"):
            raise argparse.ArgumentTypeError(f"{text} is not above zero")
        return value

    parse.__name__ = "number"  # argparse names the type by it
    return parse


def _natural(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is outside 0 to 2147483647")
    return value


_natural.__name__ = "whole number"


@contextlib.contextmanager
def _progress_bar() -> Iterator[Callable[[float, str], None]]:
    """Yield a progress function (fraction, what is being done); it draws only on a terminal."""
    from tqdm import tqdm

    layout = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    with tqdm(total=1.0, bar_format=layout, disable=None, leave=False) as bar:

        def progress(fraction: float, text: str) -> None:
            bar.set_description_str(text, refresh=False)
            bar.update(fraction - bar.n)

        yield progress


if __name__ == "__main__":
    sys.exit(main())
