"""Speech: any sound to 52 weights over time, whole files and streams."""
