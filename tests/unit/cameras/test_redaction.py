"""No password in a message or a log line."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_inspect.cameras.redaction import redacted

# Whatever may stand in an address without ending it.
SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_categories=("Zs", "Cc", "Cs")), min_size=1)


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("rtsp://admin:s3cret@10.0.0.7:554/h264", "rtsp://***@10.0.0.7:554/h264"),
        ("rtsp://token@10.0.0.7/h264", "rtsp://***@10.0.0.7/h264"),
        ("http://10.0.0.7/mjpg?user=a&password=s3cret&fps=5", "http://10.0.0.7/mjpg?user=a&password=***&fps=5"),
        ("http://10.0.0.7/mjpg?access_token=s3cret", "http://10.0.0.7/mjpg?access_token=***"),
        ("rtsp://10.0.0.7/user=admin_password=s3cret_channel=1", "rtsp://10.0.0.7/user=admin_password=***"),
        ('rtspsrc location=rtsp://a:b@h/1 user-pw="my s3cret" ! appsink', "rtspsrc location=rtsp://***@h/1 user-pw=*** ! appsink"),
        ("/dev/video0", "/dev/video0"),
        ("http://10.0.0.7:8080/snap@2x.jpg", "http://***@2x.jpg"),
        ("http://10.0.0.7/stream", "http://10.0.0.7/stream"),
    ],
)
def test_secrets_are_hidden_and_the_rest_is_kept(address: str, shown: str) -> None:
    assert redacted(address) == shown


@settings(deadline=None)
@given(user=st.text("abc", max_size=3), secret=SECRET)
def test_no_password_gets_through_whatever_it_is_made_of(user: str, secret: str) -> None:
    assert redacted(f"cannot open rtsp://{user}:{secret}@host/stream: refused") == "cannot open rtsp://***@host/stream: refused"
