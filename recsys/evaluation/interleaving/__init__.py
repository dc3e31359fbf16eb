"""Two rankings in one shown list.

`drawing` shows them (`team_draft`, `probabilistic`) and simulates clicks on logged lists (`simulate_interleaving`);
`preference` reads from the clicks which ranking users prefer (`read_preference`).
"""
