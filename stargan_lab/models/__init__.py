"""Networks: norms, conditioning, blocks, generators, discriminators."""
