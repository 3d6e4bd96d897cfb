"""Files that Furrow reads and writes: identities, weights over time, maps, sound, figures, tensors."""
