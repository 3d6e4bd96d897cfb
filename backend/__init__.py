"""Everything that runs at inference: formats, head, detail, speech, engines, the process. No bpy; no torch at import."""
