"""From single calls to the figures of a run: what was not measured stays unknown."""
