"""The page of serve.py in a real browser: what it draws, its threshold, keyboard and download."""

import json
import shutil
import time

from gluonnorm import deploy

import pytest
from http_service import HttpService, photo
from pycocotools import mask as run_lengths
from tiny_detector import tiny_detector

for package in ("fastapi", "uvicorn", "python_multipart", "prometheus_client", "selenium"):
    pytest.importorskip(package)

from selenium import webdriver  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

pytestmark = pytest.mark.slow
SIZE = (96, 144)
# Of a mask, what paintMask has changed in a black picture.
PAINTED = """
const mask = answer.images[0].detections[arguments[0]].mask;
const pixels = new Uint8ClampedArray(4 * mask.size[0] * mask.size[1]);
paintMask(pixels, mask, [255, 255, 255]);
return Array.from(pixels).filter((_, index) => index % 4 === 0).map((value) => value > 0 ? 1 : 0);
"""
# What paintLabels writes for detections at these places.
LABELS = """
const texts = [];
const context = {
  measureText: () => ({width: 30}), fillRect: () => {}, fillText: (text) => texts.push(text),
};
const rows = arguments[0].map(([name, x, y]) => ({class: name, id: 0, score: 0.5, box: [x, y]}));
paintLabels(context, rows, 14, 2);
return texts;
"""
# Moves the threshold while a photo is sent, and leaves the request without an answer.
MOVE_WHILE_SENDING = """
const fetched = window.fetch;
window.fetch = () => new Promise(() => {});
send(photo);
window.fetch = fetched;
threshold.value = arguments[0];
threshold.dispatchEvent(new Event("input"));
"""
PASTE_TEXT = """
const data = new DataTransfer();
data.setData("text/plain", "no image");
const event = new ClipboardEvent("paste", {clipboardData: data, bubbles: true});
document.body.dispatchEvent(event);
"""
OUTSIDE = """
return performance.getEntriesByType("resource").map((entry) => entry.name)
    .filter((name) => !name.startsWith(location.origin) && !name.startsWith("blob:"));
"""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    prefix = str(tmp_path_factory.mktemp("exported") / "tiny")
    net = tiny_detector("mask_fpn", short=96, max_size=144, score_thresh=0.0)
    deploy.export(net, prefix)
    return prefix


@pytest.fixture()
def browser(tmp_path):
    programs = [shutil.which("chromium"), shutil.which("chromedriver")]
    if None in programs:
        pytest.skip("chromium or chromedriver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = programs[0]
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=390,800"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, webdriver.ChromeService(programs[1]))
    yield driver
    driver.quit()


def wait_until(condition, limit=60):
    end = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_person_sees_what_the_predictor_finds(exported, browser, tmp_path):
    content = photo(5, SIZE)
    file = tmp_path / "cells.png"
    file.write_bytes(content)
    expected = deploy.Predictor(exported)(content)

    with HttpService(exported, "--api-key", "s3cret") as service:
        browser.get(f"http://localhost:{service.port}/")
        status = browser.find_element(By.ID, "status")

        # Without the key the page asks for it, and sends the photo again.
        browser.find_element(By.ID, "file").send_keys(str(file))
        key = browser.find_element(By.ID, "key")
        wait_until(key.is_displayed)
        assert "API key" in status.text
        key.send_keys("s3cret", Keys.ENTER)
        count = browser.find_element(By.ID, "count")
        wait_until(lambda: "detections shown" in count.text)
        drawn = int((expected.scores >= 0.5).sum())
        assert count.text == f"{drawn} of {len(expected.ids)} detections shown"
        assert status.text == ""
        assert 0 < drawn < len(expected.ids)
        assert len(browser.find_elements(By.CSS_SELECTOR, "#list li")) == drawn
        size = browser.execute_script("return [canvas.height, canvas.width];")
        assert tuple(size) == SIZE
        masks = browser.execute_script("return answer.images[0].detections.map((d) => d.mask);")
        for number, mask in enumerate(masks[:5]):
            painted = browser.execute_script(PAINTED, number)
            assert painted == run_lengths.decode(mask).ravel().tolist()
            assert painted == expected.masks[number].ravel().astype(int).tolist()

        # A phone has no room to scroll sideways.
        width = "return document.documentElement.scrollWidth <= window.innerWidth;"
        assert browser.execute_script(width)
        # The keyboard moves the threshold, and every shown detection can be reached.
        slider = browser.find_element(By.ID, "threshold")
        slider.send_keys(Keys.HOME)
        wait_until(lambda: count.text.startswith(f"{len(expected.ids)} of"))
        before = browser.execute_script("return canvas.toDataURL();")
        browser.execute_script("document.querySelector('#list li').focus();")
        assert browser.execute_script("return canvas.toDataURL();") != before
        slider.send_keys(Keys.END)
        wait_until(lambda: count.text.startswith("0 of"))

        browser.find_element(By.ID, "download").click()
        downloaded = tmp_path / "cells-detections.json"
        wait_until(downloaded.exists)
        document = json.loads(downloaded.read_text())
        assert document == service.post_file("cells.png", content, "s3cret").json()

        # A file that is no photo is told of, and the page goes on.
        (tmp_path / "text.png").write_text("no image")
        browser.find_element(By.ID, "file").send_keys(str(tmp_path / "text.png"))
        wait_until(lambda: "is no image of a known format" in status.text)
        browser.find_element(By.ID, "file").send_keys(str(file))
        wait_until(lambda: status.text == "")
        browser.execute_script(PASTE_TEXT)
        assert status.text == "What was pasted is no image."
        browser.execute_script(MOVE_WHILE_SENDING, 0)
        assert count.text.startswith(f"{len(expected.ids)} of")
        assert status.text == "Sending cells.png ..."
        # Of labels that would cover each other, the first one is drawn.
        places = [("best", 10, 50), ("beside", 25, 60), ("below", 10, 65), ("right", 50, 50)]
        assert browser.execute_script(LABELS, places) == ["best 0.50", "below 0.50", "right 0.50"]
        assert browser.execute_script(OUTSIDE) == []
        errors = [
            entry
            for entry in browser.get_log("browser")
            if entry["level"] == "SEVERE" and "/v1/detect" not in entry["message"]
        ]
        assert [entry for entry in errors if "favicon" not in entry["message"]] == []
