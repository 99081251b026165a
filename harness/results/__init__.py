"""A run read back: estimates, differences and verdicts, made once and rendered everywhere."""
