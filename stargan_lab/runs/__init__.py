"""The lifecycle of a run: build, train, evaluate, record, resume, load, re-evaluate."""
