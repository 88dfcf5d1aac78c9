"""Settings of the core's property tests."""

from hypothesis import settings

# A commit waits for the disk: how long that takes says nothing about the code under test.
settings.register_profile("gristmill", deadline=None)
settings.load_profile("gristmill")
