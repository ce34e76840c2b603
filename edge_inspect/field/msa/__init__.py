"""Proof that a station tells good from bad: the attribute agreement study, and golden parts at shift start.

`agreement` is the study's statistics, `presentations` where its verdicts come from, `page` the study as HTML, `challenge` the golden
parts, `showing` one picture before the accepted engine.
"""
