"""From finished runs to a judgement: Pareto front, terminal table and a self-contained HTML page.

Everything here reads ``results.json`` (see ``lightning_mm.runs``) and, where a sweep wrote one, ``sweep.json``.
"""
