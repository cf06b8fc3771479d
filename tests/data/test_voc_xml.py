from gluonnorm.data import DataError
from gluonnorm.data.voc_xml import read_voc_file

import pytest

OBJECT = (
    "<object><name>{0}</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>8</ymax>"
    "</bndbox></object>"
)
CAT = OBJECT.format("cat")


def read(tmp_path, text, encoding="utf-8"):
    (tmp_path / "a.xml").write_bytes(text.encode(encoding))
    return read_voc_file(tmp_path / "a.xml")


@pytest.mark.parametrize(
    "text",
    [
        f"<annotation>{CAT}</annotation>",
        f"<annotation xmlns='http://example.org/voc'>{CAT}</annotation>",
        f"<v:annotation xmlns:v='urn:voc'>{CAT}</v:annotation>".replace("bndbox", "v:bndbox"),
        f"<annotation><objects>{CAT}</objects></annotation>",
        f"<Annotation>{CAT.replace('name', 'Name')}</Annotation>",
        f"<annotation><folder>\n</folder>\n{CAT.replace('cat', ' cat ')}\n</annotation>",
    ],
)
def test_spellings(tmp_path, text):
    content = read(tmp_path, text)
    assert content.faults == [] and content.names == ["cat"] and content.size is None
    assert content.objects == [(1, "cat", (1, 2, 5, 8), False)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "gbk", "shift_jis"])
def test_encodings(tmp_path, encoding):
    head = f'<?xml version="1.0" encoding="{encoding}"?>'
    text = f"{head}<annotation>{OBJECT.format(chr(0x732B))}</annotation>"
    assert read(tmp_path, text, encoding).names == ["\u732b"]


def test_size_and_file_name(tmp_path):
    size = "<size><width>30.0</width><height>20</height></size>"
    content = read(tmp_path, f"<annotation><filename> a b.jpg</filename>{size}</annotation>")
    assert content.size == (20, 30) and content.image_name == "a b.jpg" and content.objects == []


@pytest.mark.parametrize("height", ["1e400", "-20", "nan", "20.5", "twenty", "1" * 5000])
def test_faulty_size(tmp_path, height):
    size = f"<size><width>30</width><height>{height}</height></size>"
    content = read(tmp_path, f"<annotation>{size}{CAT}</annotation>")
    assert content.size is None and len(content.objects) == 1
    assert len(content.faults) == 1 and len(content.faults[0]) < 300
    assert f"a.xml: states height '{height[:20]}" in content.faults[0]


@pytest.mark.parametrize(
    "item, message",
    [
        (CAT.replace("<bndbox>", "<bndbox></bndbox><bndbox>"), "object 2 has 2 times <bndbox>"),
        (CAT.replace("<xmin>", "<xmin>3</xmin><xmin>"), "object 2 has 2 times <xmin>"),
        (CAT.replace("<xmax>5</xmax>", ""), "object 2 has no <bndbox><xmax>; add it"),
        (CAT.replace(">5<", ">10,5<"), "object 2 has bndbox/xmax '10,5'; want a number"),
        (CAT.replace("bndbox", "robndbox"), "object 2 has no <bndbox>, only <name>, <robndbox>"),
        (OBJECT.format(" "), "object 2 has no <name>"),
    ],
)
def test_fault_of_one_object(tmp_path, item, message):
    content = read(tmp_path, f"<annotation>{CAT}{item}{CAT}</annotation>")
    assert [voc_object.number for voc_object in content.objects] == [1, 3]
    assert len(content.faults) == 1 and message in content.faults[0]


BOMB = (
    "<!DOCTYPE a [<!ENTITY x 'x'>"
    + "".join(f"<!ENTITY x{n} '{f'&x{n - 1};' * 10}'>" for n in range(1, 9)).replace("&x0;", "&x;")
    + "]><annotation>&x8;</annotation>"
)


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "is not valid XML: no element found"),
        (f"<annotation>{CAT}", "is not valid XML"),
        ("<annotation/><annotation/>", "is not valid XML: junk"),
        ("<annotation>a & b</annotation>", "is not valid XML: not well-formed"),
        ('<?xml version="1.0" encoding="klingon"?><annotation/>', "unknown encoding: klingon"),
        (BOMB, "declares XML entities"),
        ("<a>" * 100000, "nested more than 50 deep"),
        ("<project version='4'><component/></project>", "is no VOC file: it begins with <project>"),
    ],
)
def test_files_that_are_refused(tmp_path, text, message):
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, text)
    assert "a.xml: " in str(caught.value) and "\n" not in str(caught.value)


def test_huge_file(tmp_path):
    with open(tmp_path / "a.xml", "wb") as file:
        file.truncate(10**10)
    with pytest.raises(DataError, match="a.xml: has more than 32 MB"):
        read_voc_file(tmp_path / "a.xml")
