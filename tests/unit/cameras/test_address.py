"""The password of a camera's address comes from a file."""

from __future__ import annotations

import pytest

from edge_inspect.cameras.address import with_password
from edge_inspect.errors import ConfigError


@pytest.fixture
def secret(tmp_path):
    file = tmp_path / "camera-password"
    file.write_text("p@ss/wörd: 1\nnot this\n")
    return file


def test_it_is_put_behind_the_user_so_that_nothing_in_it_ends_the_address(secret):
    found = with_password("rtsp://viewer@10.0.0.7:554/live?ch=1", secret, "camera top")
    assert found == "rtsp://viewer:p%40ss%2Fw%C3%B6rd%3A%201@10.0.0.7:554/live?ch=1"


@pytest.mark.parametrize("source", [0, "/dev/video0", "rtsp://viewer:old@10.0.0.7/live"])
def test_without_a_file_a_source_is_as_it_is(source):
    assert with_password(source, None, "camera top") == source


@pytest.mark.parametrize(
    "source",
    [0, "/dev/video0", "rtsp://10.0.0.7/live", "rtsp://viewer:old@10.0.0.7/live", "rtsp://viewer:@10.0.0.7/live", "videotestsrc ! appsink"],
)
def test_a_source_that_has_no_place_for_it_is_refused_and_shows_no_password(secret, source):
    with pytest.raises(ConfigError, match="must name a user and no password") as refused:
        with_password(source, secret, "camera top")
    assert "old" not in str(refused.value)


@pytest.mark.parametrize("content", [None, b"", b"\n", b"\xff\xfe"])
def test_a_file_that_holds_none_is_told(tmp_path, content):
    file = tmp_path / "camera-password"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"password_file: .*camera-password (cannot be read|holds no password)"):
        with_password("rtsp://viewer@10.0.0.7/live", file, "camera top")
