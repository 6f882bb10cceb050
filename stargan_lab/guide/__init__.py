"""What tells a person what there is: every component and key, the shell's TAB, and what a machine has."""
