"""Trains the encoder from (identity, expression) to the W+ space of the generator."""
