"""Calibrating a part: scores from its good parts, a proposed threshold, what it would change, and putting it in force.

`parts` is one part with its scores, `sources` where parts come from, `proposal` the new thresholds, `preview` what they would have
decided, `report` that as a page, `apply` putting them in force. The same parts on another engine are `edge_inspect/transfer.py`.
"""
