"""Talk to a container engine, Docker or Podman, by the API that both serve."""
