"""A container engine, Docker or Podman, by the API that both serve on their sockets."""
