"""The only room that touches bpy: panels, operators, head objects, animation, bake."""
