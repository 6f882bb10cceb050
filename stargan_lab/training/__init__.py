"""The training step, the loop around it, optimizers, schedules and EMA."""
