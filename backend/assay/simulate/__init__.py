"""The simulator: crowds with attackers, run through the market's own consensus, pay rule and slashing rule.

`crowd` makes answers, `market` settles them, `run` repeats it over seeds and sums up, `cli` is `./assay simulate`.
"""
