"""A CSV is dropped on the page: numbers and texts are read, nothing in it is evaluated, and what cannot be read is told."""

import pytest

from tests.lab.browser.reading import status

expect = pytest.importorskip("playwright.sync_api").expect
GOOD = "size,rooms,price\n" + "\n".join(f"{30 + k},{1 + k % 4},{2 * (30 + k) + 5 * (k % 4)}" for k in range(60))
DROP = """([name, text, megabytes]) => {
  const parts = megabytes ? Array.from({length: megabytes}, () => new Uint8Array(1e6)) : [text];
  const data = new DataTransfer();
  data.items.add(new File(parts, name, {type: 'text/csv'}));
  for (const kind of ['dragenter', 'dragover', 'drop'])
    document.querySelector('main').dispatchEvent(new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
}"""
COUNT_SENT = """() => {
  const send = WebSocket.prototype.send;
  window.__sent = 0;
  WebSocket.prototype.send = function (text) { window.__sent += text.length; send.call(this, text); };
}"""


def dropped(page, name, text="", megabytes=0):
    page.evaluate(DROP, [name, text, megabytes])
    return page.get_by_role("complementary", name="Your own table")


def test_a_table_is_read_and_its_last_column_predicted(visit):
    page = visit()
    sheet = dropped(page, "houses.csv", GOOD)
    expect(sheet).to_contain_text("houses.csv: 60 rows, 3 columns")
    expect(sheet.get_by_role("combobox", name="Column to predict")).to_have_value("price")
    expect(page.get_by_role("combobox", name="Problem", exact=True)).to_have_value("table")
    expect(page.locator(".rule .moment")).to_contain_text("last step")
    expect(page.locator(".raised")).to_be_hidden()
    sheet.get_by_role("combobox", name="Column to predict").select_option("size")
    page.wait_for_timeout(1000)
    expect(status(page)).not_to_be_empty()
    page.get_by_role("button", name="Same in Python").click()
    expect(page.get_by_role("region", name="Program")).to_contain_text("target='size'".replace("'", '"'))


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("one.csv", "x\n1\n2\n3\n", "1 column"),
        ("empty.csv", "", "cannot be read"),
        ("same.csv", "a,b\n1,2\n1,2\n1,2\n", "no column that could be predicted"),
        ("row.csv", "a,b\n1,2\n", "1 row"),
    ],
)
def test_a_table_that_cannot_be_used_is_told(visit, name, text, why):
    page = visit("#lr=0.3")
    expect(dropped(page, name, text)).to_contain_text(why)
    expect(page.get_by_role("combobox", name="Problem", exact=True)).to_have_value("line")
    expect(page.locator(".rule .moment")).to_contain_text("rate 0.3")


def test_a_table_of_text_is_a_table_of_text(visit):
    page = visit()
    sheet = dropped(page, "pets.csv", "kind,name\n" + "cat,Tom\ndog,Rex\n" * 20)
    expect(sheet).to_contain_text("pets.csv: 40 rows, 2 columns")
    expect(sheet.get_by_role("option", name="name (text)")).to_have_count(1)
    expect(status(page)).not_to_be_empty()


def test_formulas_and_markup_are_text(visit):
    evil = '=HYPERLINK("http://example.org")'
    markup = "<img src=x onerror=alert(1)>"
    rows = "\n".join(f'"{["=cmd|calc", "+1+1"][k % 2]}",{k},{2 * k}' for k in range(30))
    page = visit()
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    sheet = dropped(page, f"{markup}.csv", '"' + evil.replace('"', '""') + f'",{markup},y\n{rows}\n')
    expect(sheet).to_contain_text("30 rows, 3 columns")
    expect(sheet).to_contain_text(markup)
    choices = sheet.get_by_role("combobox", name="Column to predict").locator("option").all_text_contents()
    assert f"{evil} (text)" in choices
    assert page.locator("img").count() == 0
    assert page.locator("a[href*='example.org']").count() == 0


def test_100_megabytes_are_refused_before_they_are_sent(visit):
    page = visit()
    page.evaluate(COUNT_SENT)
    sheet = dropped(page, "all.csv", megabytes=100)
    expect(sheet).to_contain_text("100 MB")
    expect(sheet).to_contain_text("at most")
    page.wait_for_timeout(500)
    assert page.evaluate("window.__sent") < 10_000
    expect(page.get_by_role("combobox", name="Problem", exact=True)).to_have_value("line")
