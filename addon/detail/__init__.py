"""Detail on a head: live, portable and baked maps, and the modifiers and images that show them."""
