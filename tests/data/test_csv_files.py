import gzip
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cxr_pipeline.data.csv_files import read_csv, read_header

# Whatever a cell may hold, line breaks, commas and quotes too.
CELLS = st.text(st.sampled_from("ab1 ,\"'|\n\r;é"), max_size=6)


def written(row, ending="\n", between=","):
    quoted = [
        '"' + cell.replace('"', '""') + '"' if {*cell} & {*',"\r\n'} else cell for cell in row
    ]
    return between.join(quoted) + ending


@settings(deadline=None, derandomize=True, max_examples=150)
@given(
    rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=6),
    ending=st.sampled_from(["\n", "\r\n", "\r"]),
    between=st.sampled_from([",", ", "]),
    packed=st.booleans(),
    marked=st.booleans(),
)
def test_every_row_comes_back_stripped_with_the_line_it_begins_on(
    rows, ending, between, packed, marked
):
    lines, expected, text = [], [], ""
    for row in [["x", "y", "z"], *rows]:
        # What a text editor shows: a CR LF is one line's end.
        line = len((text + "#").replace("\r\n", "\n").replace("\r", "\n").split("\n"))
        text += written(row, ending, between)
        if any(cell.strip() for cell in row):
            lines.append(line)
            expected.append([cell.strip() for cell in row])
    content = text.encode("utf-8-sig" if marked else "utf-8")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / ("x.csv.gz" if packed else "x.csv")
        path.write_bytes(gzip.compress(content) if packed else content)
        file = read_csv(path)
        assert read_header(path) == file.header
    assert [file.header, *file.rows] == expected
    assert file.lines == lines[1:]
    assert file.misfits == [None] * len(file.rows)


def test_blank_lines_are_left_out_but_counted_even_before_the_header(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("\n  \na,b\n\n1,2\n , \n,\n\n3,4\n")
    file = read_csv(path)
    assert (file.header, file.rows, file.lines) == (["a", "b"], [["1", "2"], ["3", "4"]], [5, 9])


def test_a_blank_cell_of_a_column_is_none(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('a,b\n1,\n2,"  "\n3,NA\n')
    assert read_csv(path).column("b") == [None, None, "NA"]


@pytest.mark.parametrize(
    ("text", "misfits"),
    [
        ("a,b\n1,2\n", [None]),
        ("a,b\n1,2,\n", [None]),  # a trailing comma
        ("a,b,\n1,2\n", [None]),  # under a header with one
        ("a,b,,,\n1,2,,,,,\n", [None]),
        ("a,b\n1,2,3\n1,2\n", ["3 for 2", None]),
        ("a,b\n1\n1,2\n", ["1 for 2", None]),
        ("a,b,c\n1,2,3\n1,2", [None, "2 for 3"]),  # a file cut short
    ],
)
def test_rows_of_another_shape_than_the_header_are_marked(tmp_path, text, misfits):
    path = tmp_path / "x.csv"
    path.write_text(text)
    file = read_csv(path)
    assert file.misfits == misfits
    assert {len(row) for row in file.rows} == {len(file.header)}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is blank"),
        (b"\xef\xbb\xbf\n \n", "it is blank"),
        (b"\xff\xfea\x00,\x00", "codec"),
        ('ö,b\n"1",2\n'.encode("latin-1"), "codec"),
        (b'a,b\n1,"2\n', "line 2: unexpected end of data"),
        (b'a,b\n\n1,"2"x\n', "line 3: ',' expected"),
        (b"a,b\n1," + b"2" * 200_000, "line 2: field larger than field limit"),
    ],
)
def test_what_is_no_csv_is_named_with_the_reason(tmp_path, one_line_error, content, reason):
    path = tmp_path / "x.csv"
    path.write_bytes(content)
    message = one_line_error(read_csv, path)
    assert message.startswith(f"'{path}' is no readable CSV (")
    assert reason in message
    assert "fetch it anew" in message


def test_a_file_that_is_not_there_or_a_folder_is_named(tmp_path, one_line_error):
    assert "No such file" in one_line_error(read_csv, tmp_path / "nowhere.csv")
    assert "Is a directory" in one_line_error(read_header, tmp_path)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(data=st.data())
def test_a_damaged_gz_is_refused_or_gives_the_very_rows(one_line_error, data):
    rows = [[f"{number:08d}_000.png", "Mass", str(number)] for number in range(40)]
    packed = gzip.compress("".join(map(written, [["a", "b", "c"], *rows])).encode(), mtime=0)
    if data.draw(st.booleans(), label="cut"):
        damaged = packed[: data.draw(st.integers(0, len(packed) - 1), label="length")]
    else:
        place = data.draw(st.integers(0, len(packed) - 1), label="place")
        flipped = packed[place] ^ data.draw(st.integers(1, 255), label="bits")
        damaged = packed[:place] + bytes([flipped]) + packed[place + 1 :]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv.gz"
        path.write_bytes(damaged)
        try:
            file = read_csv(path)
        except ValueError:
            assert str(path) in one_line_error(read_csv, path)
        else:
            assert file.rows == rows
