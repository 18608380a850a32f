"""The page in headless Chromium: it draws, follows its sliders, and logs no error.

These tests need Debian's chromium and chromium-driver, and selenium (`coopetition[browser]`).
"""

import base64
import io
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlencode

import numpy as np
import pytest
from PIL import Image

from coopetition import Curves, Fate, possible_fates, two_strategies
from coopetition.explorer.page import write_explorer
from paper_figures.explorer import measured_losses

PROGRAMS = ("chromium", "chromedriver")
MISSING = [program for program in PROGRAMS if shutil.which(program) is None]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)} on the path"),
]
DESKTOP, PHONE, SIDEWAYS = (1280, 900), (375, 812), (812, 375)
NOTHING = [f"{letter}_{factor}" for letter in "uw" for factor in "abcd"]  # initial state
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
        driver.get_log("browser")  # forget what an earlier visit left there
        driver.get(f"{page}#{urlencode(link)}" if link else str(page))
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

    def is_shown(self, name):
        return self.driver.find_element("id", name).is_displayed()

    def pixels(self):
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        picture = Image.open(io.BytesIO(base64.b64decode(shot["data"])))
        return np.asarray(picture.convert("L"), float)

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def visit(chromium, page):
    def visit(size=DESKTOP, **settings):
        return Visit(chromium, page.as_uri(), size, **settings)

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
    assert "both have been learnt" in view.text("fate")
    view.click("CIWL helps ICL")
    assert "speeds up ICL by a factor of 4.3" in view.text("effect")
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
    assert "alpha=nonsense" in view.text("problem") and view.is_shown("problem")
    assert "CIWL has not replaced it" in view.text("fate") and not view.errors()


@pytest.mark.parametrize("control", ["alpha", "time", "scale", "draw", None])
def test_the_warning_about_a_link_goes_when_a_control_is_used(visit, control):
    view = visit(alpha="nonsense")
    if control is None:
        view.click("ICL persists")
    else:
        view.set_control(control, 1)
    assert not view.is_shown("problem")


def test_a_measured_run_is_laid_over(visit):
    view = visit()
    title = "the paper's main run (figure 5b)"
    view.set_control("overlay", title)
    circles = 'return document.querySelectorAll("#losses svg .measured").length'
    assert view.run(circles) > 50
    assert "sequences" in view.text("overlay-text") and not view.errors()


def test_a_short_measured_run_has_its_rate(chromium, tmp_path):
    curves = Curves([1e8, 1e8 + 10, 1e8 + 20], {"icl": [3.0, 2.0, 1.0], "ciwl": [3.0, 2.0, 1.5]})
    page = write_explorer(tmp_path / "page.html", {"short": curves})
    text = Visit(chromium, page.as_uri(), DESKTOP, overlay="short").text("overlay-text")
    assert "NaN" not in text and "is 0 sequences" not in text


def test_descent_that_diverges_is_told(visit):
    view = visit(step="100")
    assert "diverged" in view.text("fate") and view.text("effect") == ""
    view.set_control("overlay", "the paper's main run (figure 5b)")
    assert not view.run("return document.querySelectorAll('#losses svg .measured').length")
    assert "NaN" not in view.run("return document.body.innerText") and not view.errors()


@pytest.mark.parametrize("mu1, mu2", [(0.0, 0.1), (0.001, 0.0), (0.2, 0.0), (0.001, 0.001)])
def test_the_long_run_is_that_of_the_theory(visit, mu1, mu2):
    fates = possible_fates(two_strategies(mu1=mu1, mu2=mu2))
    ends = {
        "ends with ICL alone": Fate.ICL_PERSISTENT,
        "ends with CIWL alone": Fate.CIWL_ONLY,
        "ends with both learnt": Fate.COEXISTENCE,
    }
    text = visit(mu1=mu1, mu2=mu2).text("fate")
    assert [end in text for end in ends] == [fate in fates for fate in ends.values()]


def test_a_fate_is_that_of_a_time(visit):
    text = visit(mu1=0.001).text("fate")
    assert text.startswith("By time 16,000, ICL has been learnt") and "continued" in text
    assert visit(alpha=1.0).text("fate").startswith("By time 6,506, CIWL has been learnt")
    assert "gradients are 0" in visit(**dict.fromkeys(NOTHING, 0)).text("fate")


def test_icl_that_is_learnt_at_the_start_is_not_delayed(visit):
    view = visit(u_a=3.7, u_b=4.3, u_c=3.8, w_a=0, w_b=0, w_c=0)
    assert "at the start" in view.text("effect") and "factor" not in view.text("effect")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, SIDEWAYS], ids=["desktop", "phone", "sideways"])
def test_the_picture_is_not_blank_and_does_not_scroll_sideways(visit, size, dark):
    view = visit(size, dark=dark)
    pixels = view.pixels()
    assert pixels.shape == size[::-1]
    assert pixels.std() > 10
    assert (np.median(pixels) < 60) == dark
    width = view.run("return Math.max(document.documentElement.scrollWidth, innerWidth)")
    assert width == size[0]
    assert not view.errors()


@pytest.mark.parametrize("size", [PHONE, SIDEWAYS], ids=["phone", "sideways"])
def test_the_plot_does_not_cover_the_control_with_the_focus(visit, size):
    view = visit(size)
    view.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    view.run("document.getElementById('plane-view').focus()")
    tab = {"key": "Tab", "windowsVirtualKeyCode": 9, "modifiers": 8}  # 8: with Shift
    names = []
    while not names or names[-1] != "alpha":
        view.driver.execute_cdp_cmd("Input.dispatchKeyEvent", {"type": "keyDown"} | tab)
        view.wait()
        name, is_covered = view.run(
            """const focus = document.activeElement, {x, y, width} = focus.getBoundingClientRect();
            const above = document.elementFromPoint(x + width / 2, y + 4);
            return [focus.id || focus.textContent, !focus.contains(above)]"""
        )
        assert not is_covered, name
        names.append(name)
    assert len(names) > 15


def test_a_phone_held_sideways_shows_sliders_beside_the_plot(visit):
    view = visit(SIDEWAYS)
    view.run("document.getElementById('losses').scrollIntoView()")
    view.run("document.getElementById('step').focus()")
    plot, slider = (
        view.run(f"return document.querySelector('{query}').getBoundingClientRect().toJSON()")
        for query in ("#losses svg", "#step")
    )
    assert slider["right"] < plot["left"]
    assert all(each["top"] >= 0 and each["bottom"] <= SIDEWAYS[1] for each in (plot, slider))


CONTRASTS = """
const context = document.createElement("canvas").getContext("2d");
const luminance = colour => {
  context.fillStyle = colour;
  context.fillRect(0, 0, 1, 1);
  const [red, green, blue] = [...context.getImageData(0, 0, 1, 1).data].map(byte =>
    byte <= 10 ? byte / 255 / 12.92 : ((byte / 255 + 0.055) / 1.055) ** 2.4);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
};
const contrast = (one, other) => {
  const [dark, light] = [one, other].map(luminance).sort((x, y) => x - y);
  return (light + 0.05) / (dark + 0.05);
};
const least = (query, pair) =>
  Math.min(...[...document.querySelectorAll(query)].map(each => contrast(...pair(each))));
const style = each => getComputedStyle(each), paper = style(document.body).backgroundColor;
return [least(".mark", ({children: [circle, text]}) => [style(circle).fill, style(text).fill]),
        least("#events span", each => [style(each).backgroundColor, style(each).color]),
        least(".curve", each => [style(each).stroke, paper])];
"""


@pytest.mark.parametrize("dark", [False, True])
def test_numbers_and_curves_stand_out(visit, dark):
    """Contrasts are those that WCAG 2.2 asks for at level AA: 4.5 for text, 3 for curves."""
    marks, events, curves = visit(PHONE, dark=dark).run(CONTRASTS)
    assert marks >= 4.5 and events >= 4.5 and curves >= 3


def test_every_control_has_a_name(visit):
    view = visit()
    view.run("document.querySelectorAll('details').forEach(each => { each.open = true; })")
    controls = view.driver.find_elements("css selector", "input, select, button")
    names = [control.accessible_name for control in controls]
    assert all(names) and len(set(names)) == len(names) > 20


def test_only_the_story_and_the_confirmation_are_read_out(visit):
    live = """return [...document.querySelectorAll("output, [role=status], [aria-live]")]
        .filter(each => each.getAttribute("aria-live") !== "off").map(each => each.id)"""
    assert visit().run(live) == ["story", "copied"]


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


@pytest.fixture
def clipboard(chromium):
    """Return a function that allows or denies to write to the clipboard."""

    def allow(setting):
        for name in ("clipboard-read", "clipboard-write"):
            given = {"permission": {"name": name}, "setting": setting}
            chromium.execute_cdp_cmd("Browser.setPermission", given)

    yield allow
    chromium.execute_cdp_cmd("Browser.resetPermissions", {})


def copy(view, title):
    """Click a button and return the message that follows."""
    return view.driver.execute_async_script(
        """const [title, done] = arguments, message = document.getElementById("copied");
        new MutationObserver(() => done(message.textContent)).observe(message, {childList: true});
        [...document.querySelectorAll("button")].find(b => b.textContent === title).click()""",
        title,
    )


def copied(view):
    return view.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0])")


def test_the_link_of_a_file_is_copied_without_its_folder(visit, clipboard):
    clipboard("granted")
    view = visit(preset="icl_persists")
    assert "copied" in copy(view, "Copy link")
    assert copied(view) == "#preset=icl_persists"
    copy(visit(), "Copy link")
    assert copied(view) == "#"


def test_the_link_of_a_site_is_copied_whole(chromium, page, clipboard):
    clipboard("granted")
    handler = partial(SimpleHTTPRequestHandler, directory=page.parent)
    with ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        site = f"http://localhost:{server.server_port}/{page.name}"
        view = Visit(chromium, site, DESKTOP, mu1=0.5)
        copy(view, "Copy link")
        assert copied(view) == f"{site}#draw=7&mu1=0.5"
        server.shutdown()


def test_python_code_is_copied(visit, clipboard):
    clipboard("granted")
    view = visit()
    assert "copied" in copy(view, "Copy as Python")
    assert copied(view) == view.run("return toPython(setting)")


def test_a_refusal_to_copy_shows_the_text(visit, clipboard):
    clipboard("denied")
    view = visit(preset="icl_persists")
    assert copy(view, "Copy link").endswith("#preset=icl_persists")
    assert not view.run("return document.getElementById('code').open")
    assert "not allow" in copy(view, "Copy as Python")
    assert view.run("return document.getElementById('code').open")


def test_a_title_of_curves_cannot_break_the_page(chromium, tmp_path):
    title = 'a </script><script>throw 1</script> <!-- {{view}} & "b"'
    curves = Curves([0.0, 1.0, 2.0], {"icl": [3.0, 2.0, 1.0], "ciwl": [3.0, 2.0, 1.5]})
    page = write_explorer(tmp_path / "page.html", {title: curves})
    view = Visit(chromium, page.as_uri(), DESKTOP)
    view.set_control("overlay", title)
    assert view.paths("losses") and not view.errors()
    assert view.run("return document.querySelectorAll('#overlay option').length") == 2
