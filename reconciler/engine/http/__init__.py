"""The HTTP face of the engine: routes, serializers, rates."""
