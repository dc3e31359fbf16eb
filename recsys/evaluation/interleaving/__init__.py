"""Two rankings in one shown list: drawn, simulated, and read out from clicks."""
