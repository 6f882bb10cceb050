"""Critics on two-dimensional toy distributions: what weight clipping and the minimax loss do to gradients."""
