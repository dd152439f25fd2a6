"""The web page in a real headless browser: files in, overlay and label map out."""

from __future__ import annotations

import http.client
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from gmrd.errors import InputError
from gmrd.predict.app import build_app, pair_by_name
from gmrd.predict.options import Options
from helpers.loop import Threshold
from helpers.ports import free_port, listens
from helpers.scans import affine, ball, read, write

pytest.importorskip("gradio", reason="the web page: install gmrd[app]")
webdriver = pytest.importorskip("selenium.webdriver", reason="a browser test: install selenium")
By = pytest.importorskip("selenium.webdriver.common.by").By
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
if not (CHROMIUM and DRIVER):
    pytest.skip("a browser test: install chromium and chromedriver", allow_module_level=True)

WAIT = 280


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    number = free_port()
    command = "from gmrd.cli.app import main; main()"
    log = (tmp_path_factory.mktemp("app") / "log").open("w+")
    process = subprocess.Popen(
        [sys.executable, "-c", command, f"port={number}", "options.device=cpu", "max_megabytes=5"],
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        deadline = time.monotonic() + WAIT
        while not listens(number):
            if process.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise AssertionError(log.read())
            time.sleep(0.5)
        yield number
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    driver = webdriver.Chrome(options, webdriver.ChromeService(DRIVER))
    driver.set_window_size(1200, 1600)
    yield driver
    driver.quit()


def test_scans_are_paired_with_label_maps_by_name() -> None:
    pairs = pair_by_name(["/u/9/b.nii", "/u/1/a.nii"], ["/u/5/a_seg.nii", "/u/3/b_seg.nii"])
    assert pairs == [("/u/1/a.nii", "/u/5/a_seg.nii"), ("/u/9/b.nii", "/u/3/b_seg.nii")]
    for images, labels in ((["a"], []), ([], []), (["a", "b"], ["c"])):
        with pytest.raises(InputError, match=f"{len(images)} annotated scans and {len(labels)} "):
            pair_by_name(images, labels)


def test_files_give_an_overlay_and_a_label_map(port: int, browser: object, phantom: Path) -> None:
    folder = phantom / "phantom_normalized"
    driver, wait = browser, WebDriverWait(browser, WAIT)
    driver.get(f"http://127.0.0.1:{port}")
    given = {"image": ["image_1", "image_3"], "label": ["label_3", "label_1"], "query": ["image_2"]}
    for element, names in given.items():
        box = wait.until(lambda d, e=element: d.find_element(By.CSS_SELECTOR, f"#{e} input"))
        box.send_keys("\n".join(str(folder / f"{name}.nii.gz") for name in names))
        wait.until(lambda d, e=element, n=names: all(x in d.find_element(By.ID, e).text for x in n))
    driver.find_element(By.ID, "segment").click()
    frame = wait.until(lambda d: d.find_element(By.CSS_SELECTOR, "#result iframe"))
    pairs = "image_1.nii.gz with label_1.nii.gz, image_3.nii.gz with label_3.nii.gz"
    assert pairs in driver.find_element(By.ID, "table").text
    driver.switch_to.frame(frame)
    assert driver.find_element(By.TAG_NAME, "h1").text == "image_2"
    slider = driver.find_element(By.ID, "slice")
    shown = driver.find_element(By.ID, "image").get_attribute("src")
    driver.execute_script(
        "arguments[0].value = 0; arguments[0].dispatchEvent(new Event('input'))", slider
    )
    assert driver.find_element(By.ID, "number").text.startswith("1 of ")
    assert driver.find_element(By.ID, "image").get_attribute("src") != shown
    assert driver.execute_script("return document.getElementById('image').naturalWidth") == 64
    driver.switch_to.default_content()
    link = wait.until(lambda d: d.find_element(By.CSS_SELECTOR, "#download a"))
    url = link.get_attribute("href")
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", url.split(str(port), 1)[1])
    target = phantom / "downloaded.nii.gz"
    target.write_bytes(connection.getresponse().read())
    found, query = nib.load(target), nib.load(folder / "image_2.nii.gz")
    assert found.shape == query.shape
    assert (found.affine == query.affine).all()


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The page in this process, with a threshold in the place of matching; its address."""
    Threshold().replace_matching(monkeypatch)
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "sent"))
    app = build_app(checkpoint=None, options=Options(), results=tmp_path)
    _, address, _ = app.launch(prevent_thread_lock=True, quiet=True, allowed_paths=[str(tmp_path)])
    yield address
    app.close()


class Visitor:
    """Somebody at the page: gives files, presses buttons, reads the table."""

    def __init__(self, driver: Any, page: str) -> None:
        self.driver, self.wait = driver, WebDriverWait(driver, WAIT)
        driver.get(page)

    def give(self, element: str, *files: Path) -> None:
        box = self.wait.until(lambda d: d.find_element(By.CSS_SELECTOR, f"#{element} input"))
        box.send_keys("\n".join(map(str, files)))
        self.wait.until(
            lambda d: all(f.stem[:5] in d.find_element(By.ID, element).text for f in files)
        )

    def press(self, selector: str) -> None:
        self.driver.find_element(By.CSS_SELECTOR, selector).click()

    def reads(self, *words: str) -> None:
        """Wait until the table says so."""
        table = self.driver.find_element(By.ID, "table")
        self.wait.until(lambda _: all(w in table.text for w in words))


@pytest.fixture
def visitor(page: str, browser: object, tmp_path: Path) -> Visitor:
    """With drafts of two scans, ``scan_1`` and ``scan_2``, the first to correct."""
    files = {"a.nii.gz": ball(0)[0], "a_seg.nii.gz": ball(0)[1]}
    files |= {f"scan_{number}.nii.gz": ball(number)[0] for number in (1, 2)}
    for name, array in files.items():
        write(tmp_path / name, array, affine())
    found = Visitor(browser, page)
    found.give("image", tmp_path / "a.nii.gz")
    found.give("label", tmp_path / "a_seg.nii.gz")
    found.give("query", tmp_path / "scan_1.nii.gz", tmp_path / "scan_2.nii.gz")
    found.press("#segment")
    found.reads("a.nii.gz with a_seg.nii.gz", "scan_2")
    found.press("#correct button")
    return found


def kept_annotation(folder: Path) -> np.ndarray:
    """The one label map that was added as a support."""
    (kept,) = folder.rglob("annotations/*.nii.gz")
    return read(kept)[0]


def test_a_painted_draft_becomes_a_support(visitor: Visitor, tmp_path: Path) -> None:
    """A stroke of the brush changes what it covers and nothing else."""
    driver = visitor.driver
    time.sleep(5)  # the editor makes its canvas anew and does not tell when all is drawn
    canvas = driver.find_element(By.CSS_SELECTOR, "#brush canvas")
    driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    stroke = webdriver.ActionChains(driver).move_to_element(canvas).click_and_hold()
    stroke.move_by_offset(40, 0).move_by_offset(0, 10).release().perform()
    time.sleep(1)
    visitor.press("#add")
    visitor.reads("scan_1.nii.gz with scan_1.nii.gz")
    changed = np.argwhere(kept_annotation(tmp_path) != (ball(1)[0] > 170))
    assert 0 < len(changed) < 200, "a stroke changes what it covers, and nothing else"
    assert len({z for z, _, _ in changed.tolist()}) == 1


def test_an_uploaded_label_map_becomes_a_support(visitor: Visitor, tmp_path: Path) -> None:
    corrected = tmp_path / "elsewhere" / "corrected.nii.gz"
    corrected.parent.mkdir()
    write(corrected, np.roll(ball(1)[1], 2, axis=2), affine())
    visitor.give("corrected", corrected)
    visitor.press("#add")
    visitor.reads("scan_1.nii.gz with scan_1.nii.gz")
    assert (kept_annotation(tmp_path) == np.roll(ball(1)[1], 2, axis=2)).all()


def test_it_listens_on_this_machine_alone(port: int) -> None:
    own = socket.gethostbyname(socket.gethostname())
    if own.startswith("127."):
        pytest.skip("this machine has no address but localhost")
    assert not listens(port, own)


def test_a_file_beyond_the_limit_is_refused(port: int) -> None:
    boundary = "boundary"
    body = (
        (
            f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n'
            "Content-Type: application/octet-stream\r\n\r\n"
        ).encode()
        + bytes(6 * 1024 * 1024)
        + f"\r\n--{boundary}--\r\n".encode()
    )
    connection = http.client.HTTPConnection("127.0.0.1", port)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    connection.request("POST", "/gradio_api/upload", body, headers)
    assert connection.getresponse().status == 413
