"""Golden parts at shift start: what was said of them, how long that counts, and how a running station shows them.

`record` is the file that keeps every challenge, `schedule` when the next one is due, `showing` the two files by which the
verb and a running station talk. The station's own side is `station/challenge_gate.py`, the verb's `field/msa`.
"""

from edge_inspect.challenges.record import (
    CHALLENGE_FILE,
    Bound,
    Challenge,
    GoldenPart,
    bound_to,
    read_challenges,
    write_challenge,
)

__all__ = ["CHALLENGE_FILE", "Bound", "Challenge", "GoldenPart", "bound_to", "read_challenges", "write_challenge"]
