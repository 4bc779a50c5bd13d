"""hypothesis: the same cases at each run, so that a failure is of the change at hand; RECONCILER_EXPLORE=1 looks
further. Time is not a property here.
"""

import os

from hypothesis import HealthCheck, settings

settings.register_profile(
    "reconciler",
    deadline=None,
    derandomize=not os.environ.get("RECONCILER_EXPLORE"),
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("reconciler")
