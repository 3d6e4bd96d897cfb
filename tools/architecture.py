"""What imports what: circles, and a drawing of each room's wings in docs/pictures/.

    python tools/architecture.py [ROOM ...]

A wing is a folder of a room, or a module that lies beside the folders. tests/test_house.py asserts
that arrows run one way; here they are drawn, the wing that needs the most at the top.
"""

from __future__ import annotations

import argparse
import ast
import statistics
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("addon", "backend", "commands", "training")
PICTURES = ROOT / "docs" / "pictures"

Graph = dict[str, set[str]]
"""By module, such as furrow.backend.errors: modules of Furrow that it imports."""

WITHIN = ("detail.engines",)
"""Folders in a wing that are wings of their own."""

_TURNS = 8
"""How often rows of a drawing are put in order by their neighbours: they are at rest after a few."""

Arrows = Counter[tuple[str, str]]
"""How many imports lead from one wing to another."""


def main() -> None:
    """Draw the rooms and print where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", default=ROOMS, metavar="ROOM", help="all otherwise")
    rooms = parser.parse_args().rooms
    graph = imports(ROOT)
    for room in rooms:
        path = PICTURES / f"architecture-{room}.png"
        draw(wings(graph, room), arrows(graph, room), path)
        print(path.relative_to(ROOT))


# --- imports -------------------------------------------------------------------------------------


def sources(root: Path) -> dict[str, Path]:
    """Files of the rooms and of the root by module, the root's package being furrow."""
    paths = [root / "__init__.py", root / "__main__.py"]
    for room in ROOMS:
        paths += sorted((root / room).rglob("*.py"))
    return {module_name(path.relative_to(root)): path for path in paths}


def module_name(path: Path) -> str:
    """Name of the module in a file, given from the root."""
    parts = path.with_suffix("").parts
    return ".".join(("furrow", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def import_names(source: str, package: str) -> Iterator[str]:
    """Absolute names of what a module imports anywhere, also in functions, but for types alone.

    Parameters
    ----------
    package
        That relative imports start from.
    """
    tree = ast.parse(source)
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }
    parts = package.split(".")
    for node in ast.walk(tree):
        if id(node) in for_types:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = parts[: len(parts) - node.level + 1] if node.level else []
            name = ".".join([*base, *filter(None, [node.module])])
            yield from (f"{name}.{alias.name}" for alias in node.names)


def imports(root: Path) -> Graph:
    """What each module of the rooms and of the root imports of them.

    Packages above a module, which Python imports first, do not count: they hold a docstring alone.
    """
    paths = sources(root)
    graph = {}
    for module, path in paths.items():
        package = module if path.name == "__init__.py" else module.rpartition(".")[0]
        targets = set()
        for name in import_names(path.read_text(encoding="utf-8"), package):
            while name and name not in paths:
                name = name.rpartition(".")[0]
            targets.add(name)
        graph[module] = targets - {"", "furrow", module}
    return graph


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """A shortest circle through each module that lies on one, every circle once, sorted."""
    rings: dict[frozenset[str], list[str]] = {}
    for start in sorted(graph):
        ways = {start: [start]}
        queue = [start]
        for module in queue:  # grows while it is read: breadth first
            for target in sorted(graph.get(module, ())):
                if target == start:
                    rings.setdefault(frozenset(ways[module]), ways[module])
                    queue.clear()
                    break
                if target not in ways:
                    ways[target] = [*ways[module], target]
                    queue.append(target)
    return sorted(rings.values())


# --- wings ---------------------------------------------------------------------------------------


def wing(module: str, root: Path = ROOT) -> str:
    """The wing of a module below its room, such as detail.engines; the room's own package is ""."""
    room, *parts = module.split(".")[1:]
    folders = parts if (root.joinpath(room, *parts)).is_dir() else parts[:-1]
    return next((w for w in WITHIN if ".".join(folders).startswith(w)), ".".join(parts[:1]))


def arrows(graph: Mapping[str, set[str]], room: str) -> Arrows:
    """Imports between the wings of a room."""
    prefix = f"furrow.{room}."
    return Counter(
        (wing(module), wing(target))
        for module, targets in graph.items()
        for target in targets
        if module.startswith(prefix) and target.startswith(prefix) and wing(module) != wing(target)
    )


def wings(graph: Mapping[str, set[str]], room: str) -> set[str]:
    """All wings of a room, those without arrows too."""
    return {wing(module) for module in graph if module.startswith(f"furrow.{room}.")} - {""}


def layers(names: Iterable[str], between: Iterable[tuple[str, str]]) -> dict[str, int]:
    """How high each wing stands: one above the highest that it needs; 0 needs none."""
    targets: dict[str, list[str]] = {name: [] for name in names}
    for source, target in between:
        targets[source].append(target)
    heights: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in heights:
            heights[name] = 0  # ends a circle, which the test of the house reports
            heights[name] = max(map(height, targets[name]), default=-1) + 1
        return heights[name]

    for name in targets:
        height(name)
    return heights


def direct(between: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The arrows that do not follow from others: a drawing of these alone can be read."""
    targets: dict[str, set[str]] = {}
    for source, target in between:
        targets.setdefault(source, set()).add(target)

    def reach(name: str) -> set[str]:
        return set().union(*({t} | reach(t) for t in targets.get(name, ())))

    return [
        (source, target)
        for source, ends in sorted(targets.items())
        for target in sorted(ends)
        if not any(target in reach(other) for other in ends - {target})
    ]


# --- drawing -------------------------------------------------------------------------------------


def arrange(
    heights: Mapping[str, int], lines: Iterable[tuple[str, str]]
) -> dict[str, tuple[float, float]]:
    """Places (x, y) of wings, rows by height; each near those that its arrows lead to and from."""
    near: dict[str, set[str]] = {name: set() for name in heights}
    for source, target in lines:
        near[source].add(target)
        near[target].add(source)
    rows = [sorted(n for n in heights if heights[n] == h) for h in range(max(heights.values()) + 1)]
    widest = max(map(len, rows)) - 1
    x: dict[str, float] = {}

    def place(row: list[str]) -> None:
        for index, name in enumerate(row):
            x[name] = (index + 0.5) * (widest + 1) / len(row) - 0.5

    for row in rows:
        place(row)
    for turn in range(_TURNS):
        for row in rows if turn % 2 else reversed(rows):
            row.sort(key=lambda n: statistics.fmean([x[other] for other in near[n]] or [x[n]]))
            place(row)
    return {name: (x[name], float(height)) for name, height in heights.items()}


def draw(names: Iterable[str], between: Arrows, path: Path) -> None:
    """Write a picture of a room's wings and of the arrows between them, those that follow left out."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = direct(between)
    places = arrange(layers(names, between), lines)
    width, height = (max(ends) for ends in zip(*places.values(), strict=True))
    figure, axes = pyplot.subplots(figsize=(1.6 * width + 1.5, 0.95 * height + 1.2), dpi=100)
    boxes = {}
    for name, (x, y) in places.items():
        style = {"boxstyle": "round,pad=0.45", "facecolor": "#eef2f7", "edgecolor": "#44546a"}
        boxes[name] = axes.text(x, y, name, ha="center", va="center", fontsize=11, bbox=style)
    for source, target in lines:
        axes.annotate(
            "", xy=places[target], xytext=places[source],
            arrowprops={
                "arrowstyle": "-|>", "color": "#44546a", "linewidth": 1.2, "mutation_scale": 14,
                "patchA": boxes[source].get_bbox_patch(), "patchB": boxes[target].get_bbox_patch(),
                "shrinkA": 0, "shrinkB": 2,
            },
        )  # fmt: skip
    axes.set_xlim(-0.5, width + 0.5)
    axes.set_ylim(-0.5, height + 0.5)
    axes.set_axis_off()
    path.parent.mkdir(exist_ok=True)
    # Without the program's version the same drawing is the same file.
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
