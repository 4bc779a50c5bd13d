"""The only talk with the Machines API."""
