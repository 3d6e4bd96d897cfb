"""Runs inside the Blender of the artist's day: answers questions while the window lives.

A question is a Python expression in /share/question.json, or statements that leave their answer in
`answer`; its value goes to /share/answer.json. The driver moves mouse and keys itself: nothing here
does what the artist does.
"""

import json
import os
from pathlib import Path

import bpy

SHARE = Path("/share")
QUESTION, ANSWER = SHARE / "question.json", SHARE / "answer.json"
POLL_SECONDS = 0.05
SCREEN_HEIGHT = 1000  # as real_blender.sh makes it


def settle() -> None:
    """Settings that make a virtual mouse exact and keep the first minutes free of dialogs."""
    preferences = bpy.context.preferences
    preferences.use_preferences_save = False
    preferences.view.show_splash = False
    preferences.view.filebrowser_display_type = "SCREEN"
    preferences.inputs.use_mouse_continuous = False  # else a drag warps the pointer
    for area in bpy.context.window_manager.windows[0].screen.areas:
        if area.type == "VIEW_3D":
            area.spaces.active.show_region_ui = True


def show_tab(name: str) -> bool:
    """Open a tab of the sidebar; false until the sidebar has been drawn once."""
    for area in bpy.context.window_manager.windows[0].screen.areas:
        for region in area.regions if area.type == "VIEW_3D" else ():
            if region.type == "UI":
                try:
                    region.active_panel_category = name
                except (AttributeError, TypeError):
                    return False
                area.tag_redraw()
    return True


def regions(kind: str, region_kind: str) -> list[int]:
    """[x, y, width, height] of a region, pixels from the screen's upper left corner."""
    window = bpy.context.window_manager.windows[0]
    area = next(a for a in window.screen.areas if a.type == kind)
    region = next(r for r in area.regions if r.type == region_kind)
    top = SCREEN_HEIGHT - (window.y + region.y + region.height)
    return [window.x + region.x, top, region.width, region.height]


def answer() -> float:
    """Timer: take the question, if there is one."""
    try:
        question = json.loads(QUESTION.read_text())
    except FileNotFoundError:
        return POLL_SECONDS
    QUESTION.unlink()
    names = {"bpy": bpy, "C": bpy.context, "D": bpy.data, "show_tab": show_tab, "regions": regions}
    try:
        if question["statements"]:
            exec(question["text"], names)
            reply = {"value": names.get("answer")}
        else:
            reply = {"value": eval(question["text"], names)}
    except Exception as error:
        reply = {"error": repr(error)}
    ANSWER.with_suffix(".partial").write_text(json.dumps(reply, default=str))
    os.replace(ANSWER.with_suffix(".partial"), ANSWER)
    return POLL_SECONDS


settle()
bpy.app.timers.register(answer, first_interval=1.0, persistent=True)
