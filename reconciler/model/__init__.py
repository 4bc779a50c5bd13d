"""The nouns: frozen values that every layer shares.

They have no behaviour beyond what follows from the value itself.
"""
