"""Weights on disk: reading, writing, hashing, StarGAN's format, and export."""
