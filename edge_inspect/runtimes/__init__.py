"""Opened engines: one module per inference library, all behind `protocols.Runtime`."""
