"""Trains the network from speech to expression weights."""
