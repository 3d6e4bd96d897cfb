"""What `furrow bench` measures inside Blender."""
