"""Properties are tried on the same examples in every run, and no slow machine fails them."""

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None)
settings.load_profile("steady")
