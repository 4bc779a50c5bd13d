"""The only talk with registries: which digest a tag has now, and whether the platform can run that image."""
