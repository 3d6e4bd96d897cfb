"""The bilinear head: identity and expression to vertices, with lips and lids that meet."""
