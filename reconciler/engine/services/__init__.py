"""Services on this host: ports, proxy, health checks, schedules."""
