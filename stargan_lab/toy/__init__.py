"""Critics on two-dimensional toy distributions: why weight clipping and the vanilla loss fail."""
