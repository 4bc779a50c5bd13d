"""The local engine: the Machines API on loopback, really running commands."""
