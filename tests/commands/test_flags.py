"""Flags reach a child process as they were given, and say in one line what is wrong with them."""

from __future__ import annotations

import pytest
from furrow.backend.liveliness.performance import Life, Style, random_speaker
from furrow.commands import bake, flags, terminal


@pytest.fixture
def parser() -> terminal.Parser:
    """That of `bake`."""
    parser = terminal.Parser(prog="furrow bake")
    bake.add_arguments(parser)
    return parser


def test_flags_reach_a_child_process_unchanged(parser: terminal.Parser) -> None:
    text = (
        "a.wav b.csv -o out --random-identity 3 --fps 29.97 --frames 2-9 --resolution 512 --preview"
    )
    argv = bake.to_argv(parser.parse_args(text.split()))
    again = parser.parse_args(argv[1:])
    assert argv[0] == "bake"
    assert [path.name for path in again.inputs] == ["a.wav", "b.csv"]
    assert (again.random_identity, again.fps, again.frames) == (3, 29.97, (2, 9))
    assert (again.resolution, again.preview, again.output.is_absolute()) == (512, True, True)


def test_a_performance_survives_the_way_to_a_child_process(parser: terminal.Parser) -> None:
    text = "--emotion angry --intensity 0.4 --articulation 1.1 --speaker 3 --blinks 0 --seed 8"
    first = parser.parse_args(["talk.wav", "-o", "out", *text.split()])
    again = parser.parse_args(bake.to_argv(first)[1:])
    style, life = flags.performance(vars(again))
    assert style == Style("angry", 0.4, 1.1, random_speaker(3))
    assert life == Life(blinks=0, seed=8)
    plain = parser.parse_args(["talk.wav", "-o", "out"])
    assert flags.performance(vars(plain)) == (Style(), Life())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("--frames 5-2", "ends before it starts"),
        ("--frames x", 'no range of frames; write A-B'),
        ("--fps 0", "0 is not above zero"),
        ("--random-identity -1", "-1 is outside 0 to 2147483647"),
        ("--resolution 300", "256, 512, 1024"),
        ("--engine onnx", "'auto', 'ort', 'openvino', 'torch'"),
        ("--identity a.json --random-identity 1", "not allowed with"),
    ],
)  # fmt: skip
def test_a_wrong_flag_is_one_line(parser: terminal.Parser, capsys, text: str, message: str) -> None:
    with pytest.raises(SystemExit) as end:
        parser.parse_args(["a.wav", "-o", "out", *text.split()])
    line = capsys.readouterr().err
    assert end.value.code == 2 and line.count("\n") == 1
    assert message in line and "furrow bake --help" in line


def test_a_bar_with_a_title_is_a_line_every_tenth_where_no_terminal_is(capsys) -> None:
    with terminal.progress_bar("hello.wav") as progress:
        for step in range(101):
            progress(step / 100, f"Frame {step} of 100")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11 and lines[3].startswith("hello.wav: Frame 30 of 100  30 %")
    with terminal.progress_bar() as progress:
        progress(0.5, "Measuring")
    assert not capsys.readouterr().err
