"""What apply and invoke both need to write safely: leases, guarded updates, marks."""
