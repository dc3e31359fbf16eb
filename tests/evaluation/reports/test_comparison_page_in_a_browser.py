"""The pages as a browser shows them; skipped where there is no Chromium, chromedriver or selenium."""

import json
import shutil
from dataclasses import replace

import pytest

from recsys.evaluation.evaluation import Evaluation, Results
from recsys.evaluation.reports.comparison_report import to_html
from recsys.evaluation.reports.evaluation_report import Example, Listed
from recsys.evaluation.reports.evaluation_report import to_html as evaluation_to_html
from recsys.statistics.intervals import Interval

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
WIDTHS = {"desktop": 1280, "phone": 360}
HOSTILE = "<script>document.title = 'taken over'</script>"
LONG = "a_name_without_a_blank_" * 8

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on the path"),
    pytest.mark.skipif(DRIVER is None, reason="chromedriver is not on the path"),
]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in [*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture(params=["comparison", "evaluation"])
def page(request, make_comparison, make_difference, make_exhibits):
    """Both pages with hostile and with very long texts wherever a text from outside stands."""
    if request.param == "comparison":
        segments = {"device = phone": make_difference(), f"section = {LONG}": make_difference(0.2, 0.1)}
        others = {"AUC": make_difference(0.01), LONG: make_difference()}
        exhibits = make_exhibits(HOSTILE)
        return to_html(make_comparison(None, others, segments, (HOSTILE, LONG)), replace(exhibits, notes=(LONG,)))
    row = {name: Interval(0.6, 0.5, 0.7) for name in ("AUC", "MRR", "first-hit MRR", "nDCG@5", "nDCG@10")}
    results = Results(9, 9, {"both": row, LONG: row}, {f"both-{LONG}": row})
    examples = [Example(HOSTILE, (HOSTILE,), (Listed(HOSTILE, 1, 2, 1), Listed(LONG, 2, 1, 0)))]
    evaluation = Evaluation("test", results, {HOSTILE: results}, {"AUC": 1})
    return evaluation_to_html(evaluation, "Ranking report", {"Data": LONG}, [HOSTILE], examples)


@pytest.fixture(params=WIDTHS)
def shown(request, browser, page, tmp_path):
    """Open the page at the width of a desktop or a phone."""
    width = WIDTHS[request.param]
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    phone = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": request.param == "phone"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", phone)
    browser.get("about:blank")
    for kind in ("browser", "performance"):
        browser.get_log(kind)  # forget what came before
    browser.get(file.as_uri())
    assert browser.execute_script("return window.innerWidth") == width
    return browser


def test_it_logs_no_error_and_asks_for_nothing_but_itself(shown):
    assert shown.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in shown.get_log("performance")]
    requests = [event["params"]["request"]["url"] for event in events if event["method"] == "Network.requestWillBeSent"]
    assert requests == [shown.current_url]


def test_it_never_scrolls_sideways_with_folds_closed_or_open(shown):
    measure = "return [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
    for openly in (False, True):
        shown.execute_script(f"document.querySelectorAll('details').forEach(fold => fold.open = {str(openly).lower()})")
        needed, given = shown.execute_script(measure)
        assert needed <= given


def test_a_script_in_a_text_is_shown_and_not_run(shown):
    assert HOSTILE in shown.find_element(By.TAG_NAME, "body").text
    assert shown.title != "taken over"
    assert shown.find_elements(By.TAG_NAME, "script") == []


def test_the_keyboard_reaches_the_skip_link_first_and_every_region_that_scrolls(shown):
    shown.execute_script("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    regions = shown.find_elements(By.CSS_SELECTOR, ".scroll")
    steps = len(regions) + len(shown.find_elements(By.CSS_SELECTOR, "a, summary")) + 1
    shown.switch_to.active_element.send_keys(Keys.TAB)
    skip = shown.switch_to.active_element
    assert skip.get_attribute("class") == "skip"
    assert skip.rect["x"] >= 0
    reached = []
    for _ in range(steps):
        shown.switch_to.active_element.send_keys(Keys.TAB)
        reached.append(shown.switch_to.active_element)
    assert all(region in reached for region in regions)


def test_no_text_of_a_picture_is_cut_off(shown):
    outside = """
        return [...document.querySelectorAll('svg text')].filter(text => {
            const box = text.getBoundingClientRect();
            return box.left < 0 || box.right > document.documentElement.clientWidth;
        }).map(text => text.textContent)"""
    assert shown.execute_script(outside) == []
