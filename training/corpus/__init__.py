"""Synthesises displacement maps of folding skin."""
