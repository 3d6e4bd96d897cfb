"""Detail: identity and expression to W+ and to a displacement map, exact, live, and as a basis."""
