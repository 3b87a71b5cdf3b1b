"""The changes themselves. Each can be applied once, in one transaction; none is edited after a release."""
