"""Who runs this program."""

from __future__ import annotations

import os
import pwd


def who() -> str:
    """The login of whoever runs this program; behind sudo the one who called it."""
    try:
        name = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container's user need not have a name
        name = f"uid {os.getuid()}"
    behind = os.environ.get("SUDO_USER")
    return f"{behind} (as {name})" if behind and behind != name else name
