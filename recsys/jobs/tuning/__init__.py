"""Settings that suit: tried on the valid window, written down, and gone on with after a kill."""
