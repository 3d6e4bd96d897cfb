"""Where furrows lie, by region of the face: each module has its table of places, then short geometry.

Paths are in face coordinates (:mod:`chart`), millimetres. `s` runs around the head, 0 at the middle of
the face, and `z` upwards. Names ending in `_mm` are millimetres, in `_deg` degrees; shares and waves
have no unit. A wave in [-1, 1] is a person's own number (:class:`habit.Habit`), so "by wave" is how far
two people, or two lines of one person, may differ. How deep and wide lines are: :mod:`furrow_shapes`.
"""
