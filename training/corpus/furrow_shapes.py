"""The shape of every kind of furrow: where to tune how deep, how wide, how early and how lasting it is.

Columns are :class:`shape.Shape`'s; where the lines lie, and how many there are, is in :mod:`layout`.

The text under a shape says where its numbers come from:

literature
    Ranges that are commonly cited in dermatology: forehead lines 0.2 to 1 mm deep, 6 to 12 mm apart;
    crow's feet 0.1 to 0.5 mm, 2 to 5 mm apart; glabellar lines 0.3 to 1.5 mm; nasolabial folds 1 to
    3 mm, a part of which the base mesh has; bunny lines 0.1 to 0.5 mm; lines of puckered lips 0.1 to
    0.4 mm, 2 to 4 mm apart. Old skin has them at rest, young skin in motion only.
trial
    An earlier trial of synthesised furrows, chosen by eye under light from the side at 0.3 mm a
    texel. The section itself is from there: :func:`furrows.section`.
eye
    Chosen by eye, in close-ups (docs/skin.md) and maps under light from the side, for the reason given.

Depths named in a text are those at 50 years and average coefficients. What no text mentions is by eye.
A change here changes maps: :data:`version.CORPUS_VERSION` says what then has to be done.
"""

from __future__ import annotations

import dataclasses

from .shape import Linear, Shape, Trend, by_age, by_skin

# Upper face.

FOREHEAD = Shape(
    "forehead",
    depth_mm=0.7,
    factors=(by_age(0.75, 0.45), by_skin("forehead_depth", 0.5, 1.5)),
    varies=Linear(0.8, 0.5),
    width_mm=0.62,
    widens=0.35,
    reach_of_spacing=0.3,
    threshold=Linear(0.12, 0.05),
    rest=Linear(0.0, 0.42),
    taper=(0.26, 0.26),
    uneven=0.3,
    wander_mm=(0.5, 0.11),
)
"""0.55 mm; literature: 0.2 to 1. Trial: 0.62 mm (0.75 + 0.45 age), width 0.62 (1 + 0.35 age), reach 0.3 of
the spacing, wander 0.5 slowly and 0.22 fast. Calmer here: half the trial's fast wander."""

FOREHEAD_SHORT = Shape(
    "forehead",
    varies=Linear(0.2, 0.16),
    width_mm=0.45,
    reach_of_spacing=0.17,
    threshold=Linear(0.3),
    rest=Linear(0.0, 0.3),
    taper=(0.4, 0.4),
    wander_mm=(0.4, 0.1),
)
"""Short lines between two long ones, a fifth as deep as these and later (eye): with long lines alone
the forehead looks like a stave."""

GLABELLA = Shape(
    "glabella",
    factors=(by_skin("glabella_depth", 0.75, 1.6), by_age(0.8, 0.3)),
    varies=Linear(0.85, 0.5),
    width_mm=0.72,
    reach_mm=2.5,
    reach_by=Trend("thickness", 0.9, 0.2),
    threshold=Linear(0.14),
    rest=Linear(0.0, 0.14),
    taper=(0.34, 0.5),
    uneven=0.18,
    wander_mm=(0.28, 0.07),
)
"""0.95 mm; literature: 0.3 to 1.5. Trial: 0.75 to 1.15 mm, width 0.75, reach 2.6. Little at rest: in the
trial old glabellas scowled."""

GLABELLA_OUTER = dataclasses.replace(GLABELLA, width_mm=0.45, reach_mm=1.5, threshold=Linear(0.28))
"""The weaker lines outside the pair: finer and later (eye)."""

GLABELLA_HEAP = Shape(
    "glabella",
    share=0.5,
    reach_mm=4.4,
    threshold=Linear(0.12),
    rest=Linear(0.0, 0.06),
    taper=(0.45, 0.5),
    lean=-0.5,
    trough=True,
)
"""What corrugator heaps up beside the lines, towards the brows' inner ends, as broad as these (eye). Going
up, the left hand of a path on the left side is the middle of the face."""

PROCERUS = Shape(
    "procerus",
    varies=Linear(0.65, 0.45),
    width_mm=0.55,
    reach_mm=1.9,
    threshold=Linear(0.22, 0.06),
    rest=Linear(0.0, 0.16),
    taper=(0.4, 0.4),
    wander_mm=(0.2, 0.06),
)
"""Across the nose's root, a part of the glabella's depth (eye): later than the vertical lines, since a
weak frown shows these alone."""

CROWS_FEET = Shape(
    "crows",
    depth_mm=0.62,
    factors=(by_age(0.6, 0.75), by_skin("crows_feet_depth", 0.5, 1.5)),
    varies=Linear(0.68, 0.42),
    width_mm=0.42,
    reach_mm=1.4,
    reach_by=Trend("thickness", 0.9, 0.25),
    threshold=Linear(0.1, 0.045),
    rest=Linear(0.0, 0.46),
    taper=(0.22, 0.6),
    uneven=0.35,
    wander_mm=(0.22, 0.07),
)
"""0.41 mm; literature: 0.1 to 0.5. Trial: width 0.42, reach 1.35. The outer end runs out over more than
half of the line, since a fan has no edge."""

CROWS_FEET_BRANCH = Shape(
    "crows",
    varies=Linear(0.4, 0.2),
    width_mm=0.42,
    reach_mm=0.95,
    threshold=Linear(0.26),
    rest=Linear(0.0, 0.46),
    taper=(0.25, 0.6),
)
"""Finer and later than the line it leaves (eye)."""

UPPER_LID = Shape(
    "upper_lid",
    depth_mm=0.28,
    factors=(by_skin("under_eye_depth", 0.6, 1.4),),
    width_mm=0.42,
    reach_mm=1.2,
    threshold=Linear(0.08, 0.06),
    rest=Linear(0.5),
    taper=(0.35, 0.4),
    uneven=0.25,
    wander_mm=(0.15, 0.04),
)
"""The lid's crease, half of which everybody has at rest: the mesh has no fold there (eye)."""

UPPER_LID_FINE = dataclasses.replace(
    UPPER_LID, varies=Linear(0.8, 0.3), reach_mm=0.95, rest=Linear(0.0, 0.35)
)
"""Lines over the crease, which come with age (eye)."""

UNDER_EYE = Shape(
    "under_eye",
    depth_mm=0.2,
    factors=(by_age(0.55, 0.75), by_skin("under_eye_depth", 0.4, 1.6)),
    varies=Linear(0.75, 0.35),
    width_mm=0.4,
    reach_mm=1.15,
    threshold=Linear(0.12, 0.04),
    rest=Linear(0.0, 0.45),
    taper=(0.4, 0.45),
    uneven=0.4,
    wander_mm=(0.2, 0.06),
)
"""The thinnest skin of the face folds finest: a third as deep as crow's feet (eye)."""

TEAR_TROUGH = Shape(
    "under_eye",
    depth_mm=0.62,
    factors=(by_skin("under_eye_depth", 0.3, 1.6), by_age(0.2, 0.8)),
    reach_mm=3.4,
    threshold=Linear(0.15),
    rest=Linear(0.0, 0.45),
    taper=(0.4, 0.5),
    lean=0.35,
    trough=True,
)
"""Below the bag of the lid: broad, and mostly a matter of age (eye)."""

BUNNY = Shape(
    "bunny",
    depth_mm=0.3,
    factors=(by_age(0.65, 0.45),),
    varies=Linear(0.7, 0.4),
    width_mm=0.42,
    reach_mm=1.25,
    threshold=Linear(0.14, 0.05),
    rest=Linear(0.0, 0.12),
    taper=(0.35, 0.45),
    uneven=0.3,
    wander_mm=(0.15, 0.06),
)
"""0.18 mm; literature: 0.1 to 0.5. Hardly any at rest even in old skin (eye)."""

# Lower face.

NASOLABIAL = Shape(
    "nasolabial",
    factors=(by_skin("nasolabial_depth", 0.45, 1.5), by_age(0.75, 0.35)),
    share=0.55,
    varies=Linear(1.0, 0.12),
    width_mm=0.8,
    reach_mm=2.3,
    threshold=Linear(0.06),
    rest=Linear(0.0, 0.5),
    taper=(0.2, 0.5),
    lean=0.62,
    uneven=0.25,
    wander_mm=(0.42, 0.07),
)
"""0.9 mm, of which a crease and two troughs have 1.3 together; literature: 1 to 3 for the whole fold, a part
of which the base mesh has. Trial: one stroke is not enough. It leans far: running down the left cheek,
the cheek is on the left hand, and its fat bulges over the fold."""

NASOLABIAL_TROUGH = dataclasses.replace(NASOLABIAL, share=0.55, reach_mm=4.6, trough=True)
NASOLABIAL_CHEEK = dataclasses.replace(NASOLABIAL, share=0.2, reach_mm=8.5, trough=True)
"""Twice and four times the crease's reach, so that its sides pass into the cheek without an edge (eye)."""

NOSTRIL = Shape(
    "nostril",
    share=0.5,
    width_mm=0.8,
    reach_mm=2.4,
    threshold=Linear(0.1),
    rest=Linear(0.0, 0.1),
    taper=(0.3, 0.6),
    lean=0.4,
)
"""The groove around the nostril's wing, on the fold's upper half, which a sneer deepens first (eye)."""

CHEEK = Shape(
    "cheek",
    depth_mm=0.34,
    factors=(by_skin("nasolabial_depth", 0.5, 1.4), by_age(0.3, 0.85)),
    varies=Linear(0.72, 0.5),
    width_mm=0.6,
    reach_mm=1.9,
    threshold=Linear(0.3, 0.07),
    rest=Linear(0.0, 0.22),
    taper=(0.45, 0.5),
    uneven=0.4,
    wander_mm=(0.6, 0.08),
)
"""Crescents of a strong smile: late, soft, rare in young skin, and the most uneven of all, or they read as
rings in water (eye)."""

CHEEK_TROUGH = dataclasses.replace(
    CHEEK, share=0.55, reach_mm=3.3, taper=(0.4, 0.4), lean=0.3, trough=True
)
"""The cheek's roll outside each crescent (eye)."""

MARIONETTE = Shape(
    "marionette",
    factors=(by_skin("nasolabial_depth", 0.3, 0.85), by_age(0.4, 0.7)),
    share=0.7,
    varies=Linear(0.9, 0.2),
    width_mm=0.7,
    reach_mm=1.9,
    threshold=Linear(0.12, 0.12),
    rest=Linear(0.0, 0.48),
    taper=(0.25, 0.5),
    wander_mm=(0.22, 0.06),
)
"""About half of the nasolabial fold, which the same skin folds (eye)."""

MARIONETTE_TROUGH = dataclasses.replace(MARIONETTE, share=0.6, reach_mm=4.2, lean=0.5, trough=True)
"""The cheek hangs over it as over the nasolabial fold, less far (eye)."""

CHIN = Shape(
    "chin",
    factors=(by_skin("chin_depth", 0.35, 1.1), by_age(0.8, 0.25)),
    share=0.75,
    varies=Linear(1.0, 0.15),
    width_mm=0.75,
    reach_mm=2.3,
    threshold=Linear(0.1, 0.15),
    rest=Linear(0.0, 0.2),
    taper=(0.42, 0.42),
    wander_mm=(0.3, 0.06),
)
"""The crease under the lower lip; the chin's dimples are :func:`relief.cobbles` (eye)."""

CHIN_TROUGH = dataclasses.replace(CHIN, share=0.55, reach_mm=4.2, trough=True)
"""Twice the crease's reach, as beside the nose (eye)."""

LIPS_UPPER = Shape(
    "lips_upper",
    depth_mm=0.55,
    factors=(by_age(0.5, 0.75), by_skin("lip_line_depth", 0.4, 1.6)),
    varies=Linear(0.56, 0.44),
    width_mm=0.45,
    reach_mm=1.25,
    reach_varies_mm=0.3,
    threshold=Linear(0.12, 0.12),
    rest=Linear(0.0, 0.34),
    taper=(0.25, 0.6),
    half="upper",
    wander_mm=(0.1, 0.03),
)
"""0.17 mm; literature: 0.1 to 0.4 on a pucker. They differ more than others, from 0.12 to 1 of the depth
before the power in :mod:`layout.mouth`: trial, even lines look like a moustache."""

LIPS_LOWER = dataclasses.replace(LIPS_UPPER, family="lips_lower", half="lower")
"""As the upper lip's."""

VERMILION_UPPER = Shape(
    "vermilion",
    depth_mm=0.3,
    factors=(by_age(0.8, 0.4),),
    varies=Linear(0.75, 0.5),
    width_mm=0.38,
    coarsens=False,
    reach_mm=0.85,
    reach_varies_mm=0.2,
    threshold=Linear(0.1),
    rest=Linear(0.5),
    taper=(0.4, 0.4),
    half="upper",
)
"""Grooves in the red of the lip, which everybody has at rest. No wider in thick or old skin: they are too
close together for that (eye)."""

VERMILION_LOWER = dataclasses.replace(VERMILION_UPPER, half="lower")
"""As the upper lip's."""

NECK = Shape(
    "neck",
    depth_mm=0.65,
    factors=(by_skin("neck_depth", 0.4, 1.5), by_age(0.4, 0.7)),
    varies=Linear(0.85, 0.25),
    width_mm=0.7,
    reach_mm=2.4,
    threshold=Linear(0.05),
    rest=Linear(0.12, 0.4),
    taper=(0.4, 0.4),
    wander_mm=(0.6, 0.08),
)
"""Rings of the neck, which bend it daily, so that even young skin shows an eighth of them at rest (eye)."""

NECK_TROUGH = dataclasses.replace(NECK, share=0.6, reach_mm=5.5, trough=True)
"""Skin between two rings bulges as a whole (eye)."""

PLATYSMA = Shape(
    "platysma",
    depth_mm=-0.75,
    factors=(by_skin("neck_depth", 0.4, 1.4), by_age(0.5, 0.6)),
    varies=Linear(0.9, 0.2),
    reach_mm=4.0,
    threshold=Linear(0.12),
    rest=Linear(0.0, 0.12),
    rest_ages=(0.6, 1.0),
    taper=(0.4, 0.4),
    trough=True,
    wander_mm=(0.3, 0.0),
)
"""Cords: ridges, which stay at rest from about 55 years on, when the muscle's edges part (eye)."""

# Anywhere.

SCAR = Shape(
    "scar",
    width_mm=0.7,
    coarsens=False,
    reach_mm=1.3,
    threshold=Linear(0.5),
    rest=Linear(1.0),
    taper=(0.25, 0.2),
    wander_mm=(0.45, 0.05),
)
"""A healed cut: smooth, and the same under every expression (eye)."""
