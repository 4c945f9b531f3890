from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from cmdclf.rules._first_token import first_token_images, names_only


@pytest.mark.parametrize(
    ("line", "windows", "image"),
    [
        ("powershell -nop", True, "\\powershell.exe"),
        ("PowerShell.exe", True, "\\PowerShell.exe"),
        ("  cmd\t/c dir", True, "\\cmd.exe"),
        ('"C:\\Program Files\\A\\a.exe" -x', True, "C:\\Program Files\\A\\a.exe"),
        ("C:\\Program Files\\A\\a.EXE -x b.exe", True, "C:\\Program Files\\A\\a.EXE"),
        ("C:\\Tools\\a.exe C:\\b c.exe", True, "C:\\Tools\\a.exe"),
        ("C:\\Tools\\run me", True, "C:\\Tools\\run.exe"),
        ("C:\\Tools\\a.bat x.exe", True, "C:\\Tools\\a.bat x.exe"),
        ("net.exe user a", True, "\\net.exe"),
        ("a.b\\net user", True, "a.b\\net.exe"),
        ('"unclosed a', True, "\\unclosed a.exe"),
        ("curl http://a", False, "/curl"),
        ("/usr/bin/curl http://a", False, "/usr/bin/curl"),
        ("./run.sh", False, "./run.sh"),
        ("'/opt/my tool/x' -a", False, "/opt/my tool/x"),
        ("a\\b c", False, "/a\\b"),
        ("", True, ""),
        ("   ", False, ""),
        ('""', True, ""),
        (None, True, ""),
    ],
)
def test_the_image_is_the_first_token_as_a_sensor_would_record_it(line, windows, image):
    lines = pa.array(["x y", line, "z"], pa.string())[1:2]
    assert first_token_images(lines, np.array([windows])).to_pylist() == [image]


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("\\powershell.exe", "/powershell.exe"),
        ("/curl", "/curl"),
        ("a.exe", "/a.exe"),
        ("..\\b\\a.exe", "/a.exe"),
        ("bin/a", "/a"),
        ("C:\\a.exe", ""),
        ("C:\\Windows\\a.exe", ""),
        ("\\\\share\\a.exe", ""),
        ("/bin/a", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_a_name_stands_alone_where_no_folder_is_known(image, name):
    assert names_only(pa.array(["q", image], pa.string())[1:]).to_pylist() == [name]
