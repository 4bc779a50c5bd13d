"""Examine what is set up, and say how to mend it. Nothing is started or changed."""
