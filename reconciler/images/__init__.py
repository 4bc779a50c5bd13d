"""Talk to image registries and builders: resolve tags to digests, build, push."""
