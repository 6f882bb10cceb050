"""The life of one run: build, train, evaluate, record, resume, load, re-evaluate."""
