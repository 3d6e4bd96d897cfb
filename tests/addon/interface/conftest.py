"""A layout to draw panels into without a window, which knows what Blender's knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import bpy
import pytest

RNA = bpy.types.UILayout.bl_rna


class Misspelt(AssertionError):
    """A panel names something that Blender does not have, or a value that it does not take."""


class Layout:
    """Takes the calls of ``bpy.types.UILayout``, checks all names against RNA, and records them.

    Blender itself only prints to the console about a property that it does not find, and leaves a
    gap in the panel.

    Attributes
    ----------
    calls
        (function, arguments by name), in order; those of rows and columns too.
    parts
        The layouts that came of it, with the name of the function that made them.
    """

    def __init__(self, calls: list[tuple[str, dict[str, Any]]] | None = None) -> None:
        self.__dict__["calls"] = [] if calls is None else calls
        self.__dict__["parts"] = []

    def __setattr__(self, name: str, value: object) -> None:
        _check_value(RNA.properties, name, value, "a layout")
        self.__dict__[name] = value

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = RNA.functions.get(name)
        if function is None:
            raise Misspelt(f"A layout has no {name}().")

        def call(*positional: object, **named: object) -> Any:
            inputs = [p for p in function.parameters if not p.is_output and p.type != "CONTEXT"]
            given = dict(zip((p.identifier for p in inputs), positional, strict=False)) | named
            for key, value in given.items():
                _check_value(function.parameters, key, value, f"{name}()")
            missing = [p.identifier for p in inputs if p.is_required and p.identifier not in given]
            if missing:
                raise Misspelt(f"{name}() lacks {missing}.")
            check = getattr(type(self), f"_check_{name}", None)
            if check is not None:
                check(self, given)
            self.calls.append((name, given))
            return self._answer(name, given)

        return call

    def _answer(self, name: str, given: dict[str, Any]) -> Any:
        if name == "panel":
            return self._part(name), self._part(name)  # each header is open
        if "operator" in given:
            return OperatorProperties(given["operator"])
        outputs = [p for p in RNA.functions[name].parameters if p.is_output]
        return self._part(name) if outputs else None

    def _part(self, name: str) -> Layout:
        part = Layout(self.calls)
        self.parts.append((name, part))
        return part

    def _check_prop(self, given: dict[str, Any]) -> None:
        _check_property(given["data"], given["property"], given.get("index", -1))

    def _check_prop_search(self, given: dict[str, Any]) -> None:
        _check_property(given["data"], given["property"])
        _check_property(given["search_data"], given["search_property"])

    def _check_operator(self, given: dict[str, Any]) -> None:
        _operator(given["operator"])

    def _check_operator_menu_enum(self, given: dict[str, Any]) -> None:
        _find(_operator(given["operator"]).properties, given["property"], given["operator"])

    def _check_menu(self, given: dict[str, Any]) -> None:
        if not hasattr(bpy.types, given["menu"]):
            raise Misspelt(f"There is no menu {given['menu']}.")

    def all_parts(self, name: str) -> Iterator[Layout]:
        """The layouts that a function made, of this layout and those in it."""
        for kind, part in self.parts:
            if kind == name:
                yield part
            yield from part.all_parts(name)

    def text(self) -> str:
        """What labels and buttons say, with single blanks."""
        said = [str(given["text"]) for _name, given in self.calls if given.get("text")]
        return " ".join(" ".join(said).split())

    def operators(self) -> list[str]:
        """The operators that have a button or a menu."""
        return [given["operator"] for _name, given in self.calls if "operator" in given]


class OperatorProperties:
    """What ``layout.operator()`` returns."""

    def __init__(self, idname: str) -> None:
        self.__dict__["idname"] = idname

    def __setattr__(self, name: str, value: object) -> None:
        _check_value(_operator(self.idname).properties, name, value, self.idname)


def _operator(idname: str) -> Any:
    module, name = idname.split(".")
    try:
        return getattr(getattr(bpy.ops, module), name).get_rna_type()
    except KeyError:
        raise Misspelt(f"There is no operator {idname}.") from None


def _find(properties: Any, name: str, owner: str) -> Any:
    if name not in properties:
        raise Misspelt(f"{owner} has no {name}.")
    return properties[name]


def _check_value(properties: Any, name: str, value: object, owner: str) -> None:
    """The property or parameter exists; an enumeration has the value."""
    rna = _find(properties, name, owner)
    if rna.type == "ENUM" and rna.enum_items and str(value) not in rna.enum_items:
        raise Misspelt(f"{name} of {owner} cannot be {value}.")


def _check_property(data: Any, name: str, index: int = -1) -> None:
    custom = re.fullmatch(r'\["(.*)"\]', name)
    if custom is not None:
        if custom[1] not in data.keys():  # noqa: SIM118  # bpy_struct, no dict
            raise Misspelt(f"{data!r} has no custom property {custom[1]}.")
        return
    rna = _find(data.bl_rna.properties, name, repr(data))
    if index >= 0 and index >= getattr(rna, "array_length", 0):
        raise Misspelt(f"{name} of {data!r} has no element {index}.")


@pytest.fixture
def draw() -> Callable[..., Layout]:
    """Draw a panel, menu or preferences class and return the layout; `method` is draw or draw_header."""

    def draw(cls: Any, method: str = "draw", **attributes: object) -> Layout:
        layout = Layout()
        stand_in = SimpleNamespace(layout=layout, **attributes)
        getattr(cls, method)(stand_in, bpy.context)
        return layout

    return draw


@pytest.fixture
def layout() -> Layout:
    """An empty layout."""
    return Layout()
