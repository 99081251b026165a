"""First-party plugins, installed as `harness_plugins`."""
