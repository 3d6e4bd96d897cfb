"""The head as a Blender object: mesh, shape keys, materials, stage."""
