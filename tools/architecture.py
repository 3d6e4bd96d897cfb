"""What imports what: circles, and a drawing of each room's wings in docs/pictures/.

    python tools/architecture.py [ROOM ...]

A wing is a folder of a room, or a module that lies beside the folders. tests/test_house.py asserts
that arrows run one way; here they are drawn, the wing that needs the most at the top.
"""

from __future__ import annotations

import argparse
import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("addon", "backend", "commands", "training")
PICTURES = ROOT / "docs" / "pictures"

Graph = dict[str, set[str]]
"""By module, such as furrow.backend.errors: modules of Furrow that it imports."""

WITHIN = ("detail.engines",)
"""Folders in a wing that are wings of their own."""

Arrows = Counter[tuple[str, str]]
"""How many imports lead from one wing to another."""


def main() -> None:
    """Draw the rooms and print where."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rooms", nargs="*", default=ROOMS, metavar="ROOM", help="all otherwise")
    for room in parser.parse_args().rooms:
        path = PICTURES / f"architecture-{room}.png"
        draw(arrows(imports(ROOT), room), path)
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


def layers(between: Arrows) -> dict[str, int]:
    """How high each wing stands: one above the highest that it needs; 0 needs none."""
    heights: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in heights:
            heights[name] = 0  # ends a circle, which the test of the house reports
            below = [height(target) for source, target in between if source == name]
            heights[name] = max(below, default=-1) + 1
        return heights[name]

    for pair in between:
        for name in pair:
            height(name)
    return heights


# --- drawing -------------------------------------------------------------------------------------


def draw(between: Arrows, path: Path) -> None:
    """Write a picture of a room's wings and the arrows between them as PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    heights = layers(between)
    rows = [sorted(n for n in heights if heights[n] == h) for h in range(max(heights.values()) + 1)]
    widest = max(map(len, rows))
    places = {
        name: ((index + 0.5) * widest / len(row), float(h))
        for h, row in enumerate(rows)
        for index, name in enumerate(row)
    }
    figure, axes = pyplot.subplots(figsize=(1.9 * widest + 1, 1.15 * len(rows) + 0.4), dpi=100)
    for (source, target), count in between.items():
        _arrow(axes, places[source], places[target], count)
    for name, (x, y) in places.items():
        box = {"boxstyle": "round,pad=0.45", "facecolor": "#eef2f7", "edgecolor": "#44546a"}
        axes.text(x, y, name, ha="center", va="center", fontsize=11, bbox=box, zorder=3)
    axes.set_xlim(0, widest)
    axes.set_ylim(-0.5, len(rows) - 0.5)
    axes.set_axis_off()
    path.parent.mkdir(exist_ok=True)
    # Without the program's version the same drawing is the same file.
    figure.savefig(path, bbox_inches="tight", metadata={"Software": None})
    pyplot.close(figure)


def _arrow(axes, source: tuple[float, float], target: tuple[float, float], count: int) -> None:
    """An arrow as wide as imports are many; one over several layers bends around what is between."""
    span = source[1] - target[1]
    bend = 0.0 if span <= 1 else 0.12 + 0.04 * span
    style = {
        "arrowstyle": "-|>",
        "color": "#44546a" if span > 0 else "#c00000",
        "linewidth": min(0.6 + 0.15 * count, 3.0),
        "connectionstyle": f"arc3,rad={bend if source[0] >= target[0] else -bend}",
        "shrinkA": 16,
        "shrinkB": 16,
        "alpha": 0.75,
    }
    axes.annotate("", xy=target, xytext=source, arrowprops=style)


if __name__ == "__main__":
    main()
