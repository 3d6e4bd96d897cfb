"""What a speaking face does besides speaking: blinks, gaze, brows, breath, motion of the head."""
