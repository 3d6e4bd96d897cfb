"""The paper's way to a generator: an unconditional GAN by the StyleGAN2-ADA recipe."""
