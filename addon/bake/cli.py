"""`blender --command furrow bake ...`, and what `furrow bake` runs in a Blender without a window."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import bpy

from ...backend.errors import FurrowError
from ...backend.formats.files import sha256
from ...backend.formats.identity import Identity
from ...backend.formats.weights import Weights, read_weights, resample
from ...commands import bake, flags, terminal
from ..animation import speech
from ..head import head_object, typed
from ..process import client, jobs
from . import baked_file, map_sequence
from .take import Take, scene_take

DEFAULT_FPS = 30.0


def main(argv: Sequence[str]) -> int:
    """Run ``bake ...`` or ``assemble ...`` and return the exit status: 0 only on success."""
    parser = terminal.Parser(prog="furrow", description="Bake Furrow heads in this Blender.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, add_arguments, run in (
        ("bake", bake.add_arguments, _bake),
        ("assemble", bake.add_assemble_arguments, _assemble),
    ):
        command = commands.add_parser(name)
        add_arguments(command, inside_blender=True)
        command.set_defaults(run=run)
    try:
        arguments = parser.parse_args(list(argv))
    except SystemExit as stop:  # Blender would print a traceback around it
        return int(stop.code or 0)
    return terminal.exit_status(lambda: arguments.run(arguments))


# --- bake ----------------------------------------------------------------------------------------


def _bake(arguments: argparse.Namespace) -> int:
    inputs = arguments.inputs or [_open_file()]
    folders = _folders(inputs, arguments.output)
    for path in inputs:
        _check_input(path, arguments)
    for folder in folders:
        _check_output(folder)
    backend = _backend(arguments.engine)
    try:
        for path, folder in zip(inputs, folders, strict=True):
            if path.suffix.lower() == ".blend":
                _bake_shot(path, folder, arguments, backend)
            else:
                _bake_motion(path, folder, arguments, backend)
    finally:
        backend.stop()
    return 0


def _open_file() -> Path:
    if not bpy.data.filepath:
        raise FurrowError("No input is given, and no saved .blend is open.")
    return Path(bpy.data.filepath)


def _folders(inputs: Sequence[Path], output: Path) -> list[Path]:
    """One input writes into the folder itself, several into one of their own each."""
    if len(inputs) == 1:
        return [output]
    stems = [path.stem for path in inputs]
    twice = next((stem for stem in stems if stems.count(stem) > 1), None)
    if twice is not None:
        raise FurrowError(f'Two inputs are called "{twice}"; bake them into folders of their own.')
    return [output / stem for stem in stems]


def _check_input(path: Path, arguments: argparse.Namespace) -> None:
    """Refuse what cannot work before anything long begins."""
    flags.performance(vars(arguments))
    if not path.is_file():
        raise FurrowError(f"There is no file {path}.", "missing_file")
    if path.suffix.lower() == ".blend":
        of_motion = ("identity", "random_identity", "fps")
        wrong = [name for name in of_motion if getattr(arguments, name) is not None]
        if wrong:
            flag = "--" + wrong[0].replace("_", "-")
            raise FurrowError(f"{flag} is for speech and weights; {path.name} has its own.")
        return
    if arguments.object is not None:
        raise FurrowError(f"--object names a head of a .blend; {path.name} has none.")


def _check_output(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or error
        raise FurrowError(
            f"{folder} cannot be written: {reason}. Choose another folder.", "write_failed"
        ) from None


def _backend(engine: str) -> client.Client:
    launch = jobs.launch_arguments()
    if engine != "auto":
        launch[launch.index("--engine") + 1] = engine
    return client.Client(jobs.python(), launch)


def _bake_motion(
    path: Path, folder: Path, arguments: argparse.Namespace, backend: client.Client
) -> None:
    """Speech or weights over time, to a new file with one head."""
    identity = _identity(arguments)
    is_speech = path.suffix.lower() not in (".csv", ".npz")
    with terminal.progress_bar(path.name) as bar:
        weights = _speech(path, arguments, backend, bar) if is_speech else _weights(path, arguments)
        source: dict[str, Any] = {
            "kind": "speech" if is_speech else "weights",
            "name": path.name,
            "sha256": sha256(path),
        }
        if is_speech:
            source |= _performance(arguments)
        take = Take(identity, weights, 1, arguments.resolution, source, path)
        map_sequence.bake(take, folder, backend, arguments.frames, bar)
    if arguments.frames is None:
        _finish_motion(take, path if is_speech else None, folder, arguments.preview, backend)
    else:
        _say_range(folder, arguments.frames)


def _finish_motion(
    take: Take, sound: Path | None, folder: Path, preview: bool, backend: client.Client
) -> None:
    obj = baked_file.new_scene(take, sound)
    baked_file.play_baked({obj.name: folder}, take.first, len(take.weights.values))
    path = baked_file.save(folder)
    if preview:
        _preview(obj, take, folder, backend)
    print(f"furrow: {path}: {len(take.weights.values)} frames, ready to play", flush=True)


def _bake_shot(
    path: Path, folder: Path, arguments: argparse.Namespace, backend: client.Client
) -> None:
    """The heads of a .blend as they are animated there."""
    _open(path)
    scene = typed.scene(bpy.context)
    heads = _head_names(path, arguments.object)
    folders = _shot_folders(heads, folder)
    digest = sha256(path)
    takes = {}
    for name in heads:
        with terminal.progress_bar(name) as bar:
            bar(0.0, "Reading the animation")
            take = scene_take(bpy.data.objects[name], scene, arguments.resolution)
            take.source["sha256"] = digest
            takes[name] = take
            map_sequence.bake(take, folders[name], backend, arguments.frames, bar)
    if arguments.frames is None:
        _finish_shot(takes, folders, folder, arguments.preview, backend)
    else:
        _say_range(folder, arguments.frames)


def _finish_shot(
    takes: dict[str, Take],
    folders: dict[str, Path],
    folder: Path,
    preview: bool,
    backend: client.Client,
) -> None:
    take = next(iter(takes.values()))
    baked_file.play_baked(folders, take.first, len(take.weights.values))
    path = baked_file.save(folder)
    if preview:
        for name, own in folders.items():
            _preview(bpy.data.objects[name], takes[name], own, backend)
    print(f"furrow: {path}: {len(folders)} baked, ready to play", flush=True)


def _head_names(path: Path, name: str | None) -> list[str]:
    """Names of the heads to bake."""
    heads = [obj.name for obj in head_object.heads(typed.scene(bpy.context))]
    if not heads:
        raise FurrowError(f"{path} has no Furrow head in its scene.")
    if name is None:
        return heads
    if name not in heads:
        raise FurrowError(f'{path} has no head "{name}"; it has {", ".join(heads)}.')
    return [name]


def _shot_folders(heads: Sequence[str], folder: Path) -> dict[str, Path]:
    """One head is baked into the folder itself, several into one of their own each."""
    if len(heads) == 1:
        return {heads[0]: folder}
    return {name: folder / bpy.path.clean_name(name) for name in heads}


def _open(path: Path) -> None:
    """Open a .blend unless it is the one that is open."""
    if bpy.data.filepath and Path(bpy.data.filepath).resolve() == path.resolve():
        return
    try:
        bpy.ops.wm.open_mainfile(filepath=str(path.resolve()), load_ui=False)
    except RuntimeError as error:
        raise FurrowError(f"{path} cannot be opened: {error}".strip()) from None


def _identity(arguments: argparse.Namespace) -> Identity:
    model = head_object.head()
    if arguments.identity is not None:
        return model.read_identity(arguments.identity)
    if arguments.random_identity is not None:
        return model.random(arguments.random_identity)
    return model.average()


def _speech(
    path: Path,
    arguments: argparse.Namespace,
    backend: client.Client,
    progress: Callable[[float, str], None],
) -> Weights:
    params = {
        "path": str(path.resolve()),
        "fps": arguments.fps or DEFAULT_FPS,
        **_performance(arguments),
    }
    progress(0.0, "Listening")
    return speech.weights_of(backend.call("speech", params, progress=progress))


def _performance(arguments: argparse.Namespace) -> dict[str, Any]:
    """How speech is performed, as the backend and the record of the bake have it."""
    style, life = flags.performance(vars(arguments))
    # The record is read back from JSON, which has lists.
    return {"style": {**asdict(style), "speaker": list(style.speaker)}, "life": asdict(life)}


def _weights(path: Path, arguments: argparse.Namespace) -> Weights:
    weights = read_weights(path)
    return weights if arguments.fps is None else resample(weights, arguments.fps)


def _preview(
    obj: bpy.types.Object,
    take: Take,
    folder: Path,
    backend: client.Client,
) -> None:
    from . import preview

    with terminal.progress_bar("Preview") as bar:
        lines = preview.render(obj, take, folder, backend, bar)
    for line in lines:
        print(f"furrow: {line}", flush=True)


def _say_range(folder: Path, frames: tuple[int, int]) -> None:
    print(
        f"furrow: {folder}: frames {frames[0]}-{frames[1]} baked; `assemble` joins the ranges",
        flush=True,
    )


# --- assemble ------------------------------------------------------------------------------------


def _assemble(arguments: argparse.Namespace) -> int:
    folder: Path = arguments.folder
    if not folder.is_dir():
        raise FurrowError(f"There is no folder {folder}.", "missing_file")
    own = (
        [folder]
        if list(folder.glob("bake_*.json"))
        else sorted({path.parent for path in folder.glob("*/bake_*.json")})
    )
    if not own:
        raise FurrowError(f"{folder} holds no ranges of a bake.", "missing_file")
    takes = {part: map_sequence.join(part) for part in own}
    backend = _backend("auto")
    try:
        shots = {part: take for part, take in takes.items() if take.source["kind"] == "scene"}
        if shots:
            _open(_input(next(iter(shots.values())), folder))
            folders = {take.source["object"]: part for part, take in shots.items()}
            by_name = {take.source["object"]: take for take in shots.values()}
            _finish_shot(by_name, folders, folder, arguments.preview, backend)
        for part, take in takes.items():
            if part not in shots:
                sound = _input(take, part) if take.source["kind"] == "speech" else None
                _finish_motion(take, sound, part, arguments.preview, backend)
    finally:
        backend.stop()
    return 0


def _input(take: Take, folder: Path) -> Path:
    """Where the input lies now: where a range found it, or beside its maps."""
    places = [take.input, folder / take.source["name"]]
    for place in places:
        if place is not None and place.is_file() and sha256(place) == take.source["sha256"]:
            return place
    raise FurrowError(
        f"{take.input} is gone or changed since it was baked; put it into {folder}.", "missing_file"
    )
