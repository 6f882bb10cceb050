"""The command line: one module per command. Slow imports are deferred until the command runs."""
