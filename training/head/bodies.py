"""Bodies of the package in the shape of scanned people, so that all of the anatomy follows them.

Everything that the head is built from (skin, eyes, teeth, tongue, hair) hangs on the package's
vertices. Here these vertices take the places that the scans give them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from scipy.spatial import cKDTree

from .atlas import smoothstep
from .eyes import EyeFit
from .scan_fit import ScanFit
from .source import Source
from .teeth import Jaw

NECK = 0.08
"""Metres from the bust's edge over which people begin to differ: scans end there in many poses."""
HEAD_HEIGHT = 0.20
"""From the crown down to below the chin in the package's average, metres."""


class ScanBodies:
    """Scanned people as bodies (19158, 3), metres, in the package's axes and real size."""

    def __init__(
        self,
        source: Source,
        rows: sp.csr_matrix,
        edge: np.ndarray,
        person: np.ndarray,
        fit: ScanFit,
        eye_fits: tuple[EyeFit, EyeFit],
        jaws: list[Jaw],
    ) -> None:
        """`rows`, `edge` and `person` are the bust's, its edge, and the package's average."""
        bust = rows @ person
        edge_distance = cKDTree(bust[edge])
        still = smoothstep(edge_distance.query(bust)[0], 0.0, NECK)
        self._package_still = smoothstep(edge_distance.query(person)[0], 0.0, NECK)[:, None]
        self.fit = fit = replace(
            fit, modes=fit.modes * still[:, None], units=fit.units * still[:, None]
        )
        self._rows = rows.copy()
        self._rows.eliminate_zeros()
        corners = np.diff(self._rows.indptr)
        self._single = np.flatnonzero(corners == 1)
        self._cut = np.flatnonzero(corners > 1)
        self._head = bust[:, 2] > bust[:, 2].max() - HEAD_HEIGHT
        self._base = fit.scale * person
        self._inverse = np.linalg.pinv(fit.modes.reshape(len(fit.modes), fit.mean.size).T)
        self._eyes = [np.unique(source.quads[f"helper-{side}-eye"]) for side in "lr"]
        self._teeth = [np.unique(source.quads[f"helper-{jaw}-teeth"]) for jaw in ("upper", "lower")]
        self._tongue = np.unique(source.quads["helper-tongue"])
        inner = self._base
        upper = jaws[0].place(inner)
        shift = np.array(
            [
                0.0,
                fit.teeth_front - upper[:, 1].min(),
                fit.teeth_edge - float(np.quantile(upper[:, 2], 0.02)),
            ]
        )
        for vertices in (*self._teeth, self._tongue):
            inner[vertices] += shift
        for vertices, eye_fit, centre in zip(self._eyes, eye_fits, fit.eyes, strict=True):
            inner[vertices] += centre - eye_fit(inner)[0]

    def body(self, modes: np.ndarray, offsets: np.ndarray | None = None) -> np.ndarray:
        """The body of one scanned person.

        Parameters
        ----------
        modes
            (100,) coefficients of the scans' modes, standard deviations.
        offsets
            (19158, 3) of the package's targets on top, in the package's own size.
        """
        fit = self.fit
        body = self._base.copy()
        skin = fit.mean + np.tensordot(modes, fit.modes, 1)
        motion = np.tensordot(modes, fit.teeth_modes, 1)
        for vertices, affine in (*zip(self._teeth, motion, strict=True), (self._tongue, motion[1])):
            body[vertices] += _homogeneous(body[vertices]) @ affine
        for vertices, way in zip(self._eyes, np.tensordot(modes, fit.eye_modes, 1), strict=True):
            body[vertices] += way
        self._set_skin(body, skin)
        return body if offsets is None else body + fit.scale * self._at_rest(offsets)

    def explained(self, offsets: np.ndarray) -> np.ndarray:
        """Coefficients (100,) of the modes that come nearest to offsets (19158, 3) of the package's."""
        skin = self.fit.scale * (self._rows @ self._at_rest(offsets))
        return self._inverse @ skin.ravel()

    def _at_rest(self, offsets: np.ndarray) -> np.ndarray:
        """Offsets without the head's travel: taller and bent bodies carry their heads elsewhere.

        The bust's edge stays, so that every head fits the same body.
        """
        away = offsets - (self._rows @ offsets)[self._head].mean(0)
        return self._package_still * away

    def jaw_motion(self, points: np.ndarray) -> np.ndarray:
        """Offsets (52, n, 3) of points (n, 3) on the lower jaw under the expressions."""
        return _homogeneous(points) @ self.fit.jaw

    def _set_skin(self, body: np.ndarray, skin: np.ndarray) -> None:
        """Put the package's vertices where the bust's are to be; those beyond the cut follow."""
        before = self._rows @ body
        vertices = self._rows.indices[self._rows.indptr[self._single]]
        body[vertices] = skin[self._single]
        settled = np.zeros(len(body), bool)
        settled[vertices] = True
        total, count = np.zeros_like(body), np.zeros(len(body))
        for row in self._cut:
            for vertex in self._rows.indices[self._rows.indptr[row] : self._rows.indptr[row + 1]]:
                if not settled[vertex]:
                    total[vertex] += skin[row] - before[row]
                    count[vertex] += 1
        moved = count > 0
        body[moved] += total[moved] / count[moved, None]


def _homogeneous(points: np.ndarray) -> np.ndarray:
    return np.column_stack([points, np.ones(len(points))])
