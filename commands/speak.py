"""`furrow speak`: speech to expression weights over time."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO, cast

from ..backend.errors import FurrowError
from ..backend.formats.audio import RATE
from ..backend.liveliness.performance import Life, Style
from . import flags
from .terminal import progress_bar


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags."""
    parser.add_argument("input", metavar="WAV|-", help="WAV, FLAC or OGG; - reads standard input")
    parser.add_argument("-o", "--output", required=True, type=Path, metavar="OUT.csv|.npz|-",
                        help="Live Link Face CSV, or arrays for NumPy; - streams CSV to standard output")  # fmt: skip
    flags.add_fps(parser, 30.0, "frames a second (default: 30)")
    parser.add_argument("--stream", action="store_true",
                        help="make frames as the sound comes, in memory that does not grow; what - does")  # fmt: skip
    parser.add_argument("--rate", type=flags.positive(int), default=RATE, metavar="HZ",
                        help="of a stream without a WAV header: 16-bit little-endian mono (default: 16000)")  # fmt: skip
    parser.add_argument("--network", type=Path, metavar="FOLDER",
                        help="a network of your own, as furrow train speech wrote it")  # fmt: skip
    flags.add_performance(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the weights of a recording, or of a stream while it lasts."""
    from ..backend.formats import weights
    from ..backend.speech import speech_model

    style, life = flags.performance(vars(arguments))
    if arguments.stream or arguments.output == Path("-"):
        _stream(arguments, style, life)
        return 0
    if arguments.output.suffix.lower() not in (".csv", ".npz"):
        raise FurrowError(f"{arguments.output} must end in .csv or .npz.")
    with _audio_file(arguments.input) as path, progress_bar() as progress:
        model = speech_model.SpeechModel.load(arguments.network)
        values = model.weights(path, arguments.fps, style, life, progress)
    weights.write_weights(arguments.output, values)
    print(f"{arguments.output}: {len(values.values)} frames at {values.fps:g} frames a second")
    return 0


def _stream(arguments: argparse.Namespace, style: Style, life: Life) -> None:
    """Write frames as the sound comes; ends when the sound does."""
    from ..backend.formats import audio, pcm, weights
    from ..backend.speech import speech_model

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
    from ..backend.formats import files

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
