"""Sets of maps as arrays on disk, which training and evaluation read: drawn from the corpus, or from files."""
