"""A stack from your own code: plan, apply and invoke it as the command does."""
