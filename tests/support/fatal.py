"""A loss term that ends its process or fails, for tests of launchers; written into a user's folder."""

FATAL = """\
import os
import signal
import sys
from pathlib import Path

import torch

from stargan_lab.registry import family

calls = 0


@family("loss_term").register("fatal", source="a test", direction="lower", decimals=3)
class Fatal:
    '''Zero; at the 12th call in a process it ends the run in the given way, if the folder has a file ``armed``.'''

    network = "discriminator"

    def __init__(self, *, how: str = "calm"):
        self.how = how

    def __call__(self, step):
        global calls
        calls += 1
        if calls == 12 and Path("armed").exists():
            if self.how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "exit":
                sys.exit(3)
            if self.how == "memory":
                torch.empty(10**14)
            if self.how == "error":
                raise KeyError("a bug")
            if self.how == "diverge":
                return step.real_scores.mean() * float("nan")
        return step.real_scores.mean() * 0
"""

WAYS = ("calm", "kill", "exit", "memory", "error", "diverge")

ABLATION = f"""\
claim: None.
base: [preset=tiny, "imports=[fatal]", total_steps=20, trainer.checkpoint_every=5, +terms.fatal.weight=1]
baseline: calm
variants: {{{", ".join(f"{way}: [+terms.fatal.how={way}]" for way in WAYS)}}}
seeds: [0]
primary: eval/leak
"""
