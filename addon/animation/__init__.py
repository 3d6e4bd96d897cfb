"""Weights over time on shape keys: Actions, curves, speech, motion from files."""
