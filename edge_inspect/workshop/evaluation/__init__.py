"""How good is an exported engine? Judged on labelled pictures through the line's own inspector, never through a torch model."""
