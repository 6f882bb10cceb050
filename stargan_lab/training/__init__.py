"""The two updates, the loop around them, schedules, EMA and checkpoints."""
