"""Learns the head, the skin corpus and the networks anew. PyTorch is needed for the networks only."""
