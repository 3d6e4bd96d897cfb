"""The face that the anatomy is built on: the scans' average, or that of a head that was trained."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...backend.formats.expressions import EXPRESSIONS, INDEX
from ...backend.head.bilinear import Head
from .anatomy import Anatomy, Average
from .bodies import ScanBodies
from .scan_fit import ScanFit, fit_of_head, fit_scans
from .scans import Scans
from .source import Source


def scanned_anatomy(source: Source, scans: Scans) -> tuple[Anatomy, ScanBodies]:
    """The anatomy on the scans' average, and the bodies of scanned people; needs bpy."""

    def fit(anatomy: Anatomy) -> ScanFit:
        rims = [anatomy.mouth_rings[0], *(rings[0] for rings in anatomy.lid_rings)]
        body = anatomy.bust.rows @ anatomy.person
        return fit_scans(scans, anatomy.bust, body, anatomy.triangles, rims, anatomy.landmarks)

    return _on_average(source, fit)


def anatomy_of_head(source: Source, head: Head) -> tuple[Anatomy, ScanBodies]:
    """The anatomy on the average of a trained head, where no scans are at hand; needs bpy."""
    return _on_average(
        source, lambda anatomy: fit_of_head(head, anatomy.bust.rows @ anatomy.person)
    )


def _on_average(source: Source, fit: Callable[[Anatomy], ScanFit]) -> tuple[Anatomy, ScanBodies]:
    bodies: list[ScanBodies] = []

    def average(anatomy: Anatomy) -> Average:
        person = ScanBodies(
            source,
            anatomy.bust.rows,
            anatomy.bust.rim,
            anatomy.person,
            fit(anatomy),
            anatomy.eye_fits,
            anatomy.jaws,
        )
        bodies.append(person)
        return _average(anatomy, person)

    anatomy = Anatomy(source, average)
    return anatomy, bodies[0]


def _average(anatomy: Anatomy, bodies: ScanBodies) -> Average:
    fit = bodies.fit
    body = bodies.body(np.zeros(len(fit.modes)))
    inner = anatomy.inner(body)
    upper = len(anatomy.jaws[0].points)
    inner_units = np.zeros((len(EXPRESSIONS), *inner.shape))
    inner_units[:, upper:] = bodies.jaw_motion(inner[upper:])
    units = fit.units.copy()
    tongue = INDEX["tongueOut"]  # the scans have none: the package's, in the scans' size
    inner_units[tongue] = fit.scale * anatomy.inner(anatomy.source.unit("tongueOut"))
    units[tongue] = fit.scale * (anatomy.bust.rows @ anatomy.source.unit("tongueOut"))
    return Average(body, units, inner_units)
