"""Tasks: work that goes on without its caller, a bounded number at a time, each caller in turn."""
