"""The whole station as a process, on its own records and wire, for as long as one likes, with things breaking on a schedule.

`setting` writes the station's folder, `process` runs it, `faults` breaks things, `drive` is the PLC's side of every part, `accounts`
holds triggers, PLC, database and log against each other, `slopes` fits memory, `soak` is all of it together.
"""
