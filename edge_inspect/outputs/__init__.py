"""Where inspections are recorded: one module per kind of record, all behind `protocols.Output`."""
