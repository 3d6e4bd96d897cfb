"""How near portable heads come to the networks."""
