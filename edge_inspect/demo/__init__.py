"""`edge-inspect demo`: teach a part on real images and run the whole line over parts it has not seen."""
