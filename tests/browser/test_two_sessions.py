"""Two people at once: a model and photos of the one are never the other's."""

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from cracklib.architecture import HEAD
from cracklib.config import weights_path
from cracklib.samples import SAMPLES
from cracklib.weights import encode_weights, load_weights, pack_model, save_weights, sha256
from tests.browser.running import TIMEOUT_MS, running_app, wait_for_result, wait_until_idle

pytestmark = pytest.mark.browser

CRACKED = "concrete-crack"
assert CRACKED in SAMPLES


@pytest.fixture(scope="module")
def store_root(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def app_url(store_root):
    """An app of its own, so that what its visitors keep can be looked at."""
    if not weights_path().exists():
        pytest.skip(f"no weights at {weights_path()}")
    log = store_root.with_name("app.log")
    with running_app(log, CRACKLIB_STORE=str(store_root)) as url:
        yield url


@pytest.fixture(scope="module")
def sober_model(tmp_path_factory):
    """A zip of the bundled model with a head that finds no crack anywhere."""
    weights, card = load_weights(weights_path())
    weights[f"{HEAD}/bias"] = weights[f"{HEAD}/bias"] + [60.0, 0.0]
    encoded = encode_weights(weights)
    folder = tmp_path_factory.mktemp("model")
    path = folder / "sober.safetensors"
    save_weights(path, encoded, replace(card, name="sober", sha256=sha256(encoded)))
    (folder / "north wall.zip").write_bytes(pack_model(path))
    return folder / "north wall.zip"


def open_train(page):
    page.get_by_role("link", name="Train", exact=True).first.click()
    expect(page.get_by_role("heading", name="Your models")).to_be_visible()
    wait_until_idle(page)


def open_inspect(page):
    page.get_by_role("link", name="Inspect", exact=True).click()
    wait_for_result(page, f"{CRACKED}.jpg")


def upload_model(page, path):
    page.get_by_text("Upload a model").click()
    page.get_by_test_id("stForm").locator('input[type="file"]').set_input_files(path)
    expect(page.get_by_test_id("stForm").get_by_text(path.name)).to_be_visible()
    wait_until_idle(page)
    page.get_by_role("button", name="Add the model").click()


def wait_for_cookie(page):
    page.wait_for_function("document.cookie.includes('wall_crack_session=')")
    return session_cookie(page)


def session_cookie(page):
    cookies = [c for c in page.context.cookies() if c["name"] == "wall_crack_session"]
    return cookies[0] if cookies else None


def verdict(page):
    return page.locator(".verdict")


def test_a_model_and_photos_stay_in_their_session(app_url, open_page, store_root, sober_model):
    one, other = (open_page(f"{app_url}?sample={CRACKED}") for _ in range(2))
    for page in (one, other):
        wait_for_result(page, f"{CRACKED}.jpg")
        expect(verdict(page)).to_contain_text("Crack found")
        assert session_cookie(page) is None
    assert not list(store_root.glob("*/"))

    open_train(one)
    upload_model(one, sober_model)
    expect(one.get_by_text("north wall", exact=True)).to_be_visible(timeout=TIMEOUT_MS)
    use = one.get_by_role("button", name="Use", exact=True)
    expect(use).to_have_count(2)
    use.last.click()
    expect(use.last).to_be_disabled()
    wait_until_idle(one)

    open_inspect(one)
    expect(verdict(one)).to_contain_text("No crack found", timeout=TIMEOUT_MS)
    expect(one.get_by_text("Judged by your model ‘north wall’")).to_be_visible(timeout=TIMEOUT_MS)
    one.get_by_role("button", name="A crack", exact=True).click()
    expect(one.get_by_text("Kept for training in this session: 1 photo.")).to_be_visible(
        timeout=TIMEOUT_MS
    )

    other.get_by_role("button", name="A crack", exact=True).click()
    expect(other.get_by_text("Kept for training in this session: 1 photo.")).to_be_visible(
        timeout=TIMEOUT_MS
    )
    expect(verdict(other)).to_contain_text("Crack found")
    expect(other.get_by_text("north wall")).to_have_count(0)
    open_train(other)
    expect(other.get_by_text("north wall")).to_have_count(0)

    cookies = [wait_for_cookie(page) for page in (one, other)]
    assert cookies[0]["value"] != cookies[1]["value"]
    assert [cookie["sameSite"] for cookie in cookies] == ["Strict", "Strict"]
    assert len(list(store_root.glob("*/"))) == 2
    for page, cookie in zip((one, other), cookies, strict=True):
        assert cookie["value"] not in page.url
        assert cookie["value"] not in page.content()

    one.reload()
    wait_for_result(one, f"{CRACKED}.jpg")
    expect(verdict(one)).to_contain_text("No crack found", timeout=TIMEOUT_MS)
    expect(one.get_by_text("Kept for training in this session: 1 photo.")).to_be_visible(
        timeout=TIMEOUT_MS
    )

    one.get_by_role("button", name="Back to the bundled model").click()
    expect(one.get_by_text("Judged by your model")).to_have_count(0, timeout=TIMEOUT_MS)
    wait_until_idle(one)
    expect(verdict(one).get_by_role("heading")).to_have_text("Crack found")


def test_a_tab_that_was_open_before_takes_up_what_another_began(app_url, chromium, store_root):
    before = set(store_root.glob("*/"))
    context = chromium.new_context()
    one, other = (context.new_page() for _ in range(2))
    for page, sample in ((one, CRACKED), (other, "brick")):
        page.goto(f"{app_url}?sample={sample}")
        wait_for_result(page, f"{sample}.jpg")
        wait_until_idle(page)
    for page, kept in ((one, "1 photo"), (other, "2 photos")):
        page.evaluate("dispatchEvent(new Event('focus'))")
        wait_until_idle(page)
        page.get_by_role("button", name="A crack", exact=True).click()
        expect(page.get_by_text(f"Kept for training in this session: {kept}.")).to_be_visible(
            timeout=TIMEOUT_MS
        )
        wait_for_cookie(page)
    assert len(set(store_root.glob("*/")) - before) == 1
    context.close()


def test_deleting_everything_leaves_no_folder_and_no_cookie(app_url, chromium, store_root):
    before = set(store_root.glob("*/"))
    # Not by ``open_page``: some of Streamlit's own requests fail where a later page is loaded.
    page = chromium.new_page()
    page.goto(app_url)
    wait_for_result(page, ".jpg")
    page.get_by_role("button", name="A crack", exact=True).click()
    expect(page.get_by_text("Kept for training in this session: 1 photo.")).to_be_visible(
        timeout=TIMEOUT_MS
    )
    wait_for_cookie(page)
    assert len(set(store_root.glob("*/")) - before) == 1

    page.get_by_role("link", name="How it works").click()
    page.locator("summary").get_by_text("Delete everything of mine").click()
    with page.expect_navigation():
        page.get_by_role("button", name="Delete it all").click()
    expect(page.get_by_role("heading", name="Your photos")).to_be_visible()
    wait_until_idle(page)
    assert set(store_root.glob("*/")) == before
    assert session_cookie(page) is None
    expect(page.locator("summary")).to_have_count(0)
    page.context.close()
