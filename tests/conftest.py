"""What every test shares."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "house",
    deadline=None,  # the machine's speed decides nothing here
    derandomize=True,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("house")
