"""One canonical machine config, its digests, durations."""
