"""The nightly job: steps that are done once, a gate, and lists that are published whole."""
