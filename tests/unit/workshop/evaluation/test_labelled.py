from pathlib import Path

import numpy as np
import pytest

from edge_inspect.errors import CameraError, ConfigError
from edge_inspect.workshop.evaluation.labelled import labelled_set, read_mask
from tests.unit.workshop.evaluation.conftest import BOX, box_mask, write

pytestmark = pytest.mark.workshop


def first_of(data: Path, kind: str):
    return next(image for image in labelled_set(data, "cells").images if image.kind == kind)


def test_pictures_come_with_their_kind_good_ones_first(data):
    images = labelled_set(data, "cells").images
    assert [image.kind for image in images] == ["good"] * 10 + ["dent"] * 2 + ["scratch"] * 4
    assert images[10].name == "dent/000.png"
    assert images[10].mask == data / "cells" / "ground_truth" / "dent" / "000_mask.png"


def test_a_picture_without_a_mask_file_has_none(data):
    (data / "cells" / "ground_truth" / "dent" / "000_mask.png").unlink()
    assert first_of(data, "dent").mask is None


def test_a_good_picture_never_has_a_mask(data):
    write(data / "cells" / "ground_truth" / "good" / "000_mask.png", box_mask())
    good = first_of(data, "good")
    assert good.mask is None
    assert not read_mask(good, width=64, height=48).any()


@pytest.mark.parametrize("value", [1, 255])
def test_every_mask_pixel_above_zero_is_defective(data, value):
    write(data / "cells" / "ground_truth" / "dent" / "000_mask.png", box_mask() // 255 * value)
    mask = read_mask(first_of(data, "dent"), width=64, height=48)
    assert mask[BOX].all()
    assert np.count_nonzero(mask) == 8 * 12


def test_a_folder_without_good_pictures_is_refused(tmp_path):
    write(tmp_path / "cells" / "test" / "dent" / "0.png", box_mask())
    with pytest.raises(ConfigError, match=r"test/good: no such folder.*wants DIR/NAME/test/good"):
        labelled_set(tmp_path, "cells")


def test_a_folder_without_defects_is_refused(tmp_path):
    write(tmp_path / "cells" / "test" / "good" / "0.png", box_mask())
    with pytest.raises(ConfigError, match="no folder of defective pictures"):
        labelled_set(tmp_path, "cells")


def test_an_empty_folder_of_defects_is_refused(data):
    (data / "cells" / "test" / "empty").mkdir()
    with pytest.raises(CameraError, match="has no picture"):
        labelled_set(data, "cells")


def test_a_mask_of_another_size_is_refused(data):
    with pytest.raises(CameraError, match=r"000_mask\.png: is 64 x 48 px, the picture 640 x 480"):
        read_mask(first_of(data, "dent"), width=640, height=480)


def test_a_mask_that_marks_nothing_is_refused(data):
    write(data / "cells" / "ground_truth" / "dent" / "000_mask.png", np.zeros((48, 64), np.uint8))
    with pytest.raises(CameraError, match="marks no pixel"):
        read_mask(first_of(data, "dent"), width=64, height=48)


def test_a_missing_mask_says_which_file_is_wanted(data):
    (data / "cells" / "ground_truth" / "dent" / "000_mask.png").unlink()
    with pytest.raises(CameraError, match=r"draw ground_truth/dent/000_mask\.png"):
        read_mask(first_of(data, "dent"), width=64, height=48)
