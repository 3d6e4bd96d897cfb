"""What the checker knows of heads is what Blender stores with them."""

from __future__ import annotations

from furrow.addon.head import typed


def test_the_checker_knows_the_properties_that_are_declared(head):
    rna = {p.identifier for p in head.furrow.bl_rna.properties} - {"rna_type", "name"}
    assert set(typed.HeadProperties.__annotations__) == rna
    assert typed.properties(head) == head.furrow
