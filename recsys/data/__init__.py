"""Tables in: importers, checks, the clock, windows, labels and the simulated world."""
