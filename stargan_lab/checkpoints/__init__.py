"""Weights on disk: one reader and one writer, the StarGAN reference's format, export."""
