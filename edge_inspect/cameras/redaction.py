"""Take passwords out of camera addresses before they reach a message or a log line."""

from __future__ import annotations

import re

HIDDEN = "***"

# A password may itself hold '/' or '@' where somebody forgot to encode it. Too much hidden is better than half a password shown.
_USER_AND_PASSWORD = re.compile(r"://[^/\s@:]*:\S*@|://[^/\s@]*@")
# `?password=x`, `&token=x`, GStreamer's `user-pw=x` and `proxy-pw="x y"`, and the `/user=a_password=x_channel=1` of some recorders.
_SECRET = re.compile(r"(?i)((?:pass(?:word|wd|phrase)?|pwd|pw|token|secret|key|auth|signature)\s*=\s*)(\"[^\"]*\"|'[^']*'|[^&\s;!]*)")


def redacted(text: str) -> str:
    """The text with the user and password of every URL, and every value that is named like a secret, replaced by ***."""
    return _SECRET.sub(rf"\1{HIDDEN}", _USER_AND_PASSWORD.sub(f"://{HIDDEN}@", text))
