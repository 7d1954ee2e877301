"""Sums over a `Run`: pure functions from arrays to small frozen dataclasses; what is not known is None, never zero."""
