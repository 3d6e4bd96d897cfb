"""Finds the packages of this folder, which is itself the package `furrow`.

Everything else stands in pyproject.toml; its automatic search cannot put a prefix before the names.
"""

from setuptools import find_packages, setup

ROOMS = ("addon", "backend", "commands", "training")

setup(
    packages=[
        "furrow",
        *(
            f"furrow.{name}"
            for room in ROOMS
            for name in find_packages(".", include=(room, f"{room}.*"))
        ),
    ]
)
