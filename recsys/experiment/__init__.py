"""An online experiment: planned, split, read out.

In the order of use, all under `recsys.experiment`:

    planning.users_for_mean, users_for_rate   how many users each arm needs
    traffic.assign                            which arm a user sees: a salted hash
    users.per_user                            events to one row per user
    metrics.rate, mean, ratio                 what is measured, with the past as a covariate where there is one (CUPED)
    readout.ExperimentPlan                    shares, metrics, what matters, and how many users are expected: then daily
                                              looks are allowed
    reading.read_out                          differences between the arms, and a verdict

Two rankings in one shown list: `interleaving` shows them (`team_draft`, `probabilistic`) and simulates clicks on logged
lists (`simulate_interleaving`); `preference` reads from the clicks which ranking users prefer (`read_preference`).
"""
