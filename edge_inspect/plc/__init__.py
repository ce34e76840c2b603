"""The wire to the machine: a pure handshake and the protocols that carry it."""
