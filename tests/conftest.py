"""What every test may count on: a small, repeatable hypothesis profile; PostgreSQL where one can be reached."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("default", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", max_examples=2000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("TALLYSTICK_TEST_PROFILE", "default"))
