"""The page in headless Chromium: it draws, follows its sliders, and logs no error.

These tests need Debian's chromium and chromium-driver, and selenium (`coopetition[browser]`).
"""

import base64
import io
import shutil
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from coopetition import Curves
from coopetition.explorer.page import write_explorer
from paper_figures.explorer import measured_losses

PROGRAMS = ("chromium", "chromedriver")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)} on the path"),
]
DESKTOP, PHONE = (1280, 900), (375, 812)
PANELS = ("losses", "overlaps", "lengths", "plane")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return write_explorer(tmp_path_factory.mktemp("page") / "explorer.html", measured_losses())


@pytest.fixture(scope="module")
def chromium():
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in ("--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    driver = webdriver.Chrome(options=options, service=service)
    yield driver
    driver.quit()


class Visit:
    """The page in a browser."""

    def __init__(self, driver, page, size, dark=False, **link):
        self.driver = driver
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
        driver.get("about:blank")
        driver.get(page.as_uri() + (f"#{urlencode(link)}" if link else ""))
        self.wait()

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def wait(self):
        """Wait until the page has drawn what was asked of it."""
        self.driver.execute_async_script(
            "const done = arguments[0]; requestAnimationFrame(() => requestAnimationFrame(done));"
        )

    def set_control(self, name, value):
        """Set a control as a reader does."""
        self.run(
            """const control = document.getElementById(arguments[0]);
            if (control.type === "checkbox") control.checked = arguments[1];
            else control.value = arguments[1];
            for (const kind of ["input", "change"]) {
              control.dispatchEvent(new Event(kind, {bubbles: true}));
            }""",
            name,
            value,
        )
        self.wait()

    def click(self, title):
        self.run(
            """[...document.querySelectorAll("button")]
            .find(button => button.textContent === arguments[0]).click()""",
            title,
        )
        self.wait()

    def paths(self, panel):
        """Return the curves of a panel."""
        return self.run(
            """return [...document.querySelectorAll(`#${arguments[0]} svg .curve`)]
            .map(path => path.getAttribute("d"))""",
            panel,
        )

    def link(self):
        """Return the link of the view, which the page updates a little later."""
        return self.run("updateLink(); return location.hash")

    def arrows(self):
        return self.run(
            "return [...document.querySelectorAll('.arrow')].map(each => each.getAttribute('d'))"
        )

    def text(self, name):
        return self.run("return document.getElementById(arguments[0]).textContent", name)

    def pixels(self):
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        picture = Image.open(io.BytesIO(base64.b64decode(shot["data"])))
        return np.asarray(picture.convert("L"), float)

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def visit(chromium, page):
    def visit(size=DESKTOP, **settings):
        return Visit(chromium, page, size, **settings)

    return visit


def test_the_default_view_shows_curves_events_and_a_story(visit):
    view = visit()
    assert all(view.paths(panel) for panel in PANELS)
    for number in ("4,667", "5,516", "5,658", "6,453", "7,507"):
        assert number in view.text("events")
    assert "faded" in view.text("fate") and "1,206" in view.text("effect")
    assert view.text("problem") == "" and not view.errors()


@pytest.mark.parametrize(
    "slider", ["alpha", "mu1", "mu2", "step", *(f"{x}_{f}" for x in "uw" for f in "abcd")]
)
def test_every_slider_moves_all_panels_and_the_link(visit, slider):
    view = visit()
    before = {panel: view.paths(panel) for panel in PANELS}, view.text("losses-legend")
    view.set_control(slider, 150)
    after = {panel: view.paths(panel) for panel in PANELS}, view.text("losses-legend")
    assert all(before[0][panel] != after[0][panel] for panel in PANELS)
    assert before[1] != after[1]
    assert f"{slider}=" in view.link()
    assert not view.errors()


def test_a_slider_follows_the_keyboard(visit):
    view, before = visit(), visit().paths("losses")
    slider = view.driver.find_element("id", "alpha")
    slider.send_keys("\ue014")  # the right arrow
    view.wait()
    assert view.paths("losses") != before and "alpha=" in view.link()


def test_presets_pass_on_and_back(visit):
    view = visit()
    first = view.paths("losses")
    view.click("No competition")
    assert "Both are learnt" in view.text("fate")
    view.click("CIWL helps ICL")
    assert "hastens ICL by a factor of 4.3" in view.text("effect")
    view.click("Published seed 7")
    assert view.paths("losses") == first
    assert view.link() == "" and not view.errors()


def test_a_link_is_restored_when_it_is_opened_again(visit):
    view = visit()
    view.set_control("u_d", 200)
    view.set_control("scale", True)
    view.set_control("plane-view", "overlaps")
    link, drawn = view.link(), view.paths("losses")
    assert visit(**dict(word.split("=") for word in link[1:].split("&"))).paths("losses") == drawn


def test_a_broken_link_shows_one_line_and_the_rest(visit):
    view = visit(preset="icl_persists", alpha="nonsense")
    assert "alpha=nonsense" in view.text("problem")
    assert "stays" in view.text("fate") and not view.errors()


def test_a_measured_run_is_laid_over(visit):
    view = visit()
    title = "the paper's main run (figure 5b)"
    view.set_control("overlay", title)
    circles = 'return document.querySelectorAll("#losses svg .measured").length'
    assert view.run(circles) > 50
    assert "sequences" in view.text("overlay-text") and not view.errors()


def test_descent_that_diverges_is_told(visit):
    view = visit(step="100")
    assert "diverged" in view.text("fate") and view.text("effect") == "" and not view.errors()


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_picture_is_not_blank_and_does_not_scroll_sideways(visit, size, dark):
    view = visit(size, dark=dark)
    pixels = view.pixels()
    assert pixels.shape == size[::-1]
    assert pixels.std() > 10
    assert (np.median(pixels) < 60) == dark
    width = view.run("return Math.max(document.documentElement.scrollWidth, innerWidth)")
    assert width == size[0]
    assert not view.errors()


def test_every_control_has_a_name(visit):
    view = visit()
    nameless = view.run(
        """return [...document.querySelectorAll("input, select, button")]
        .filter(each => !(each.labels?.length || each.textContent.trim())).map(each => each.id)"""
    )
    assert not nameless


def test_python_code_is_shown(visit):
    view = visit()
    view.set_control("alpha", 0)
    assert "alpha=0, mu1=0.1" in view.run("return document.querySelector('#code pre').textContent")


def test_the_address_follows_by_itself(visit):
    view = visit()
    view.set_control("mu1", 0)
    view.driver.execute_async_script("setTimeout(arguments[0], 2 * LINK_DELAY)")
    assert view.run("return location.hash") == "#preset=icl_persists"


def test_the_chosen_time_moves_the_state_and_the_plane(visit):
    view = visit(plane="overlaps")
    legends = ("losses-legend", "overlaps-legend", "lengths-legend", "time-text")
    before = [view.text(name) for name in legends], view.arrows()
    view.set_control("time", 900)
    after = [view.text(name) for name in legends], view.arrows()
    assert all(one != other for one, other in zip(before[0], after[0], strict=True))
    assert before[1] and before[1] != after[1]
    assert "time=" in view.link() and not view.errors()


@pytest.mark.parametrize("title", ["Copy link", "Copy as Python"])
def test_copying_is_confirmed(visit, title):
    view = visit()
    view.click(title)
    assert view.text("copied")


def test_a_title_of_curves_cannot_break_the_page(chromium, tmp_path):
    title = 'a </script><script>throw 1</script> <!-- {{view}} & "b"'
    curves = Curves([0.0, 1.0, 2.0], {"icl": [3.0, 2.0, 1.0], "ciwl": [3.0, 2.0, 1.5]})
    view = Visit(chromium, write_explorer(tmp_path / "page.html", {title: curves}), DESKTOP)
    view.set_control("overlay", title)
    assert view.paths("losses") and not view.errors()
    assert view.run("return document.querySelectorAll('#overlay option').length") == 2
