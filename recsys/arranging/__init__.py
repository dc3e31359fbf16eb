"""What is done to a ranked list after scoring: rules that leave out, fix and cap."""
