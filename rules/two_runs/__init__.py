"""Define rules of two runs: difference coefficients m with sum m (b - a) = f(b) - f(a), op by op.

Run b is the explained run, run a the reference. Where an argument that carries no relevance differs
between the runs (a mask, an index), the mean over both of its values is taken; what is left of the
difference is booked under "choice".
"""
