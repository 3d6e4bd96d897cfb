"""Trains the generator of displacement maps, StyleGAN2 synthesis in W+."""
