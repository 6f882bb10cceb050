"""An ablation of two discriminator norms, for ``experiments/norms.yaml``."""

NORMS = """\
title: Norms at 16 px
claim: A norm helps.
base: [preset=tiny]
baseline: none
variants:
  none: [discriminator.norm=none]
  layer: [discriminator.norm=layer]
seeds: [0, 1]
primary: eval/edit
expected: better
"""
