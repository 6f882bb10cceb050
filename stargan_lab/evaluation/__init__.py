"""Evaluation: the protocol, the instruments and the scores of a generator that comes as a callable."""
