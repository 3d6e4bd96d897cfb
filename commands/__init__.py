"""The `furrow` command: flags, progress, bench, doctor, and the launcher of Blender."""
