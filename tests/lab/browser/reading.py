"""What does the page say?  a page -> the numbers and words on it, read as a person reads them."""

import re
import time

DIGITS = 3  # of every number on the page


def number(text):
    """`−1.88`, `17,171`, `4.88e-4` -> a float."""
    return float(text.replace("−", "-").replace(",", "").strip("()"))


def written(value):
    """A rate of the slider as the page writes it: at most three digits."""
    return f"{value:.2e}".replace("e-0", "e-") if value < 1e-3 else f"{value:.3g}"


def close(value, shown):
    """Whether a number is what the page shows of it."""
    return abs(number(shown) - value) <= 0.51 * 10.0 ** (1 - DIGITS) * abs(value)


def wait_until(page, truth, seconds=30):
    """Asks the page again and again, from outside: its own rules allow no text to be evaluated in it."""
    end = time.monotonic() + seconds
    while not page.evaluate(truth):
        assert time.monotonic() < end, f"after {seconds} s still not: {truth}"
        page.wait_for_timeout(30)


def status(page):
    return page.get_by_role("status")


def rate_box(page):
    return page.get_by_role("spinbutton", name="Learning rate", exact=True)


def rate_slider(page):
    return page.get_by_role("slider", name="Learning rate", exact=True)


def rate(page):
    return float(rate_box(page).input_value())


def all_drawn(page):
    """Waits until what was asked for is drawn in every pane."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def moment(page):
    """What the pane of this step says: the step, loss, rate and slope."""
    all_drawn(page)
    said = page.locator(".rule .moment").text_content()
    found = re.search(r"step,? ([\d,]+)\b.*loss (\S+) · rate (\S+) · slope (\S+)", said)
    assert found, said
    return dict(zip(("step", "loss", "rate", "slope"), found.groups(), strict=True))


def picture(page, name):
    """The picture in a pane, once it is there."""
    drawn = page.get_by_role("region", name=name, exact=True).get_by_role("img").first
    drawn.wait_for()
    return drawn


def inked(picture):
    """Whether anything is drawn on a picture: pixels that are not all alike."""
    canvases = [
        each
        for each in picture.locator("xpath=descendant-or-self::canvas").all()
        if (each.bounding_box() or {"width": 0})["width"] > 100
    ]
    colours = "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    return max(each.evaluate(colours) for each in canvases) > 2


def arithmetic(page):
    """The update of each weight in numbers: name -> before, rate, direction, after."""
    lines = page.locator(".rule .arithmetic p").all_text_contents()
    found = [re.fullmatch(r"(\w+) ← (\S+) − (\S+) × (\S+) = (\S+)", line) for line in lines]
    assert all(found), lines
    return {each[1]: tuple(number(part) for part in each.groups()[1:]) for each in found}


def playhead(page):
    """`137 / 200` -> (137, 200)"""
    all_drawn(page)
    at, rows = page.locator(".playbar .where").text_content().split("/")
    return int(number(at)), int(number(rows))


def run_from(page):
    """The state in the address of the page, key by key."""
    after = page.evaluate("location.hash.slice(1)")
    return dict(part.split("=", 1) for part in after.split("&") if part)


def drag(page, slider, *places):
    """Takes the thumb of a slider with the mouse to places from 0 to 1, in some steps each."""
    box = slider.bounding_box()
    thumb, middle = 16, box["y"] + box["height"] / 2
    least, span = float(slider.get_attribute("min")), float(slider.get_attribute("max")) - float(slider.get_attribute("min"))

    def x(place):
        return box["x"] + thumb / 2 + (box["width"] - thumb) * place

    page.mouse.move(x((float(slider.input_value()) - least) / span), middle)
    page.mouse.down()
    for place in places:
        page.mouse.move(x(place), middle, steps=12)
    page.mouse.up()
