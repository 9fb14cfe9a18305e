"""Answers that are wrong on purpose, each under its own name: the model `fault-<name>`."""
