"""Oracles: how large a price |r . phi(u)| can be over all neurons u of norm 1.

search              local ascent: a value that is attained, so the price is at least that
branch_and_bound    a value that nothing exceeds, with a proof that can be re-checked
convex_branches     the same for pooled features, without a record of the proof
relaxation          a value that nothing exceeds, weaker, in any dimension
pricing             (one folder up) the exact price of every listed cell
"""
