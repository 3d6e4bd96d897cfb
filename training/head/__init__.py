"""Builds the bilinear head from CC0 sources."""
