"""Evaluation of a generator, passed as a callable: protocol, instruments and scores."""
