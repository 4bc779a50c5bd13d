"""Write to machines safely: leases, guarded updates, ownership marks."""
