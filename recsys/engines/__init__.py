"""Where work is done that falls into parts: in one process, or on a cluster; the work is the same."""
