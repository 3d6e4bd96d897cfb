"""The space W+ of the shipped generator: a mapping network into it, and directions for sliders."""
