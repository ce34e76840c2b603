"""Part tracking and the reject gate: each part is rejected where the belt has carried it, unless its verdict is OK by then."""
