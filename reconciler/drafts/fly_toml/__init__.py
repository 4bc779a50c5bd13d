"""A fly.toml to the draft of a spec, as flyctl's own `appconfig` reads it.

`patches.py` brings old spellings to the new ones, `groups.py` finds what is of which process group, `machine.py` makes
the machine configs that `fly deploy` would send, `unsaid.py` finds what a spec cannot say, and `draft.py` writes it all
down. Source of each rule: superfly/flyctl, internal/appconfig.
"""
