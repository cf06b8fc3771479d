"""The documentation site: it is built without a warning, needs nothing from outside, and has every
public name, script and setting."""

import ast
import dataclasses
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Dict, List, Set, Tuple

import model_zoo
from gluonnorm.convention import BoxConvention
from gluonnorm.rcnn import DetectorConfig

import pytest
from test_examples import DOCUMENTS, blocks_of

pytest.importorskip("sphinx")
pytestmark = pytest.mark.slow
REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGES = ("gluonnorm", "model_zoo")
# Elements that a browser fetches by itself, with the attribute that has the address.
FETCHED = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "embed": "src",
    "object": "data",
    "link": "href",
}
STYLE_ADDRESS = re.compile(r"""(?:url\(|@import)\s*["']?(?P<address>[^"')\s]+)""")
OUTSIDE = re.compile(r"(?:[a-z][a-z0-9+.-]*:)?//", re.IGNORECASE)


class PageReader(HTMLParser):
    """Collects what the tests ask of a page.

    Attributes
    ----------
    assets : list of str
        The addresses of what a browser fetches by itself.
    links : list of str
        The addresses of links.
    anchors : set of str
        The ids of elements.
    """

    def __init__(self) -> None:
        super().__init__()
        self.assets: List[str] = []
        self.links: List[str] = []
        self.anchors: Set[str] = set()

    def handle_starttag(self, tag: str, attrs: List[Tuple[str, object]]) -> None:
        attributes = {name: str(value) for name, value in attrs}
        if "id" in attributes:
            self.anchors.add(attributes["id"])
        if tag == "a" and "href" in attributes:
            self.links.append(attributes["href"])
        if FETCHED.get(tag) in attributes:
            self.assets.append(attributes[FETCHED[tag]])
        self.assets += STYLE_ADDRESS.findall(attributes.get("style", ""))


def read_page(path: Path) -> PageReader:
    reader = PageReader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as ``make docs`` builds it."""
    folder = tmp_path_factory.mktemp("site")
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    flags = re.search(r"-m sphinx (?P<flags>.*) -d build/doctrees \. build/site$", makefile, re.M)
    folders = ["-d", str(folder / "doctrees"), ".", str(folder / "html")]
    command = [sys.executable, "-m", "sphinx", *flags["flags"].split(), *folders]
    done = subprocess.run(command, cwd=REPOSITORY, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    return folder / "html"


@pytest.fixture(scope="module")
def pages(site: Path) -> Dict[Path, PageReader]:
    """Every page of the site, by its path."""
    return {path: read_page(path) for path in sorted(site.rglob("*.html"))}


def test_every_document_is_a_page(site: Path) -> None:
    for document in DOCUMENTS:
        page = site / document.relative_to(REPOSITORY).with_suffix(".html")
        assert page.is_file(), document


def test_no_asset_is_from_outside(site: Path, pages: Dict[Path, PageReader]) -> None:
    assert len(pages) > 20
    for path, page in pages.items():
        assert page.assets or path.name == "index.html"
        assert [asset for asset in page.assets if OUTSIDE.match(asset)] == [], path
    styles = sorted(site.rglob("*.css"))
    assert styles
    for path in styles:
        addresses = STYLE_ADDRESS.findall(path.read_text(encoding="utf-8"))
        assert [address for address in addresses if OUTSIDE.match(address)] == [], path


def test_links_lead_to_pages_and_headings(pages: Dict[Path, PageReader]) -> None:
    checked = 0
    for path, page in pages.items():
        for link in page.links:
            target, _, anchor = link.partition("#")
            if OUTSIDE.match(link) or link.startswith(("mailto:", "javascript:")):
                continue
            target_path = (path.parent / target).resolve() if target else path
            assert target_path.is_file(), f"{path.name}: {link}"
            if anchor and target_path in pages:
                assert anchor in pages[target_path].anchors, f"{path.name}: {link}"
                checked += 1
    assert checked > 100


def public_names() -> List[str]:
    """The names of every ``__all__``. The modules are not imported: some need optional packages."""
    names = []
    for path in sorted(path for top in PACKAGES for path in (REPOSITORY / top).rglob("*.py")):
        parts = path.relative_to(REPOSITORY).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                names += [f"{module}.{name}" for name in ast.literal_eval(node.value)]
    return names


def test_every_public_name_is_on_a_page(pages: Dict[Path, PageReader]) -> None:
    described = set().union(*(page.anchors for page in pages.values()))
    public = public_names()
    assert len(public) > 150
    assert [name for name in public if not {name, f"module-{name}"} & described] == []


def test_names_that_the_documents_import_are_on_a_page(pages: Dict[Path, PageReader]) -> None:
    described = set().union(*(page.anchors for page in pages.values()))
    statement = re.compile(r"^from (?P<module>(?:gluonnorm|model_zoo)[\w.]*) import (?P<names>.+)$")
    imported = set()
    for document in DOCUMENTS:
        for block in blocks_of(document.read_text(encoding="utf-8")):
            for line in block.code.splitlines():
                match = statement.match(line)
                if match:
                    names = match["names"].strip("()").split(",")
                    imported |= {f"{match['module']}.{name.split()[0]}" for name in names if name}
    assert len(imported) > 10
    assert sorted(n for n in imported if not {n, f"module-{n}"} & described) == []


def test_every_script_has_its_help(site: Path) -> None:
    text = (site / "docs" / "scripts.html").read_text(encoding="utf-8")
    scripts = [path.stem for path in (REPOSITORY / "scripts").glob("[!_]*.py")]
    assert len(scripts) >= 9
    for script in scripts:
        assert f"usage: {script}.py" in text


@pytest.mark.parametrize("record", [DetectorConfig, BoxConvention])
def test_every_setting_has_a_row(site: Path, record: type) -> None:
    text = (site / "docs" / "settings.html").read_text(encoding="utf-8")
    for field in dataclasses.fields(record):
        assert f'<span class="pre">{field.name}</span>' in text


def test_every_model_has_a_row(site: Path) -> None:
    text = (site / "docs" / "model_zoo.html").read_text(encoding="utf-8")
    rows = set(re.findall(r'<td><p><code .*?<span class="pre">(.*?)</span></code></p></td>', text))
    assert set(model_zoo.list_models()) <= rows


def test_an_asset_from_outside_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="stylesheet" href="https://example.org/a.css">'
        '<p style="background: url(//example.org/b.png)"><img src="c.png">'
        '<script src="http://example.org/d.js"></script><a href="https://example.org">e</a>'
    )
    outside = [asset for asset in read_page(page).assets if OUTSIDE.match(asset)]
    assert len(outside) == 3
