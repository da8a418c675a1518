"""Oracle: what an attacker sees. Real requests over a real port: what must be refused is, and the server goes on for its own page."""

import json
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from surefoot.lab import built, guard
from tests.lab.conftest import TOKEN, ask, heard, unframed


class Echo:
    def answer(self, question, tell, waiting):
        tell({"kind": "echo", "seq": question["seq"], "ask": question["ask"], "state": question.get("state")})


@pytest.fixture
def echoing(lab, tmp_path, monkeypatch):
    for name in ("index.html", "lab.js", "lab.css"):
        (tmp_path / name).write_text(f"the built {name} " * 50)
    monkeypatch.setattr(built, "PAGE", tmp_path)
    return lab(Echo)


def get(lab, path="/", cookie=True, **headers):
    cookies = {"cookie": f"surefoot_lab_{lab.port}={lab.token}"} if cookie else {}
    return httpx.get(lab.url + path, headers={**cookies, **headers}, timeout=10)


def still_alive(lab):
    with lab.page() as page:
        ask(page, "hello", 1)
        return heard(page)["kind"] == "echo"


def test_the_token_opens_the_page_and_then_the_cookie_does(echoing):
    with httpx.Client(base_url=echoing.url, timeout=10) as browser:
        assert browser.get("/").status_code == 403
        first = browser.get(f"/?token={TOKEN}")
        assert first.status_code == 200
        said = first.headers["set-cookie"].lower()
        assert "httponly" in said
        assert "samesite=lax" in said
        assert "path=/" in said
        assert f"surefoot_lab_{echoing.port}=" in said
        assert browser.get("/").text.startswith("the built index.html")
        assert browser.get("/lab.js").headers["content-type"].startswith("text/javascript")
        assert browser.get("/lab.css").headers["content-type"].startswith("text/css")


@pytest.mark.parametrize("token", ["", "wrong", TOKEN[:-1], TOKEN + "t", "%C3%BC" * 43, "%00", "%ff"])
def test_a_wrong_token_is_refused_with_a_way_out(echoing, token):
    answer = get(echoing, f"/?token={token}", cookie=False)
    assert answer.status_code == 403
    assert "surefoot lab" in answer.text
    assert TOKEN not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/", "/lab.js", "/lab.css", "/favicon.ico", "/ws", "/nothing", "/../secret", "/page/%2e%2e/server.py"]
)
def test_nothing_is_told_without_a_token(echoing, path):
    assert get(echoing, path, cookie=False).status_code == 403


@pytest.mark.parametrize("path", ["/server.py", "/page/lab.js", "/..%2fserver.py", "/lab.js%00", "/index.html"])
def test_only_the_page_is_served(echoing, path):
    assert get(echoing, path).status_code == 404


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:1",
        "[::1]:{port}",
        "127.0.0.1:{port}.evil.example",
    ],
)
def test_another_name_for_this_machine_is_refused(echoing, host):
    assert get(echoing, f"/?token={TOKEN}", host=host.format(port=echoing.port)).status_code == 421


def test_localhost_is_this_machine(echoing):
    assert get(echoing, host=f"localhost:{echoing.port}").status_code == 200
    assert get(echoing, host=f"LOCALHOST:{echoing.port}").status_code == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_only_reading_is_allowed(echoing, method):
    cookie = {"cookie": f"surefoot_lab_{echoing.port}={TOKEN}"}
    assert httpx.request(method, echoing.url, headers=cookie, content=b"x" * 1000, timeout=10).status_code == 405


@pytest.mark.parametrize("path", ["/", "/lab.js", "/nothing"])
@pytest.mark.parametrize("cookie", [True, False])
def test_every_answer_keeps_the_page_to_itself(echoing, path, cookie):
    said = get(echoing, path, cookie=cookie).headers
    policy = dict(part.strip().split(" ", 1) for part in said["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert not any("*" in value or "http" in value for value in policy.values())
    assert said["x-content-type-options"] == "nosniff"
    assert said["referrer-policy"] == "no-referrer"
    assert said["x-frame-options"] == "DENY"
    assert "server" not in said
    assert "access-control-allow-origin" not in said


def test_a_file_is_packed_and_sent_once(echoing):
    first = get(echoing, "/lab.js", **{"accept-encoding": "gzip"})
    assert first.headers["content-encoding"] == "gzip"
    assert first.text == "the built lab.js " * 50
    assert int(first.headers["content-length"]) < len(first.text) / 2
    assert first.headers["cache-control"] == "no-cache"
    assert get(echoing, "/lab.js", **{"if-none-match": first.headers["etag"]}).status_code == 304
    plain = get(echoing, "/lab.js", **{"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.text == first.text
    (built.PAGE / "lab.js").write_text("built anew")
    assert get(echoing, "/lab.js", **{"if-none-match": first.headers["etag"]}).text == "built anew"


def test_a_page_that_was_not_built_is_said(echoing):
    (built.PAGE / "lab.css").unlink()
    assert get(echoing, "/lab.css").status_code == 503


@pytest.mark.parametrize(
    "options",
    [
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:1"},
        {"origin": "https://{host}"},
        {"origin": "null"},
        {"origin": "http://localhost:{port}"},  # another origin than the host it asks, to a browser
        {"origin": None},
        {"origin": "http://evil.example", "token": TOKEN},
        {"token": "wrong"},
        {"token": "wrong", "origin": None},
        {"host": "evil.example:{port}"},
        {"host": "evil.example:{port}", "origin": "http://evil.example:{port}"},
        {"additional_headers": {}},
        {"additional_headers": {"Cookie": "surefoot_lab_1=" + TOKEN}},
    ],
)
def test_a_channel_from_elsewhere_is_refused(echoing, options):
    options = {k: v.format(host=echoing.host, port=echoing.port) if isinstance(v, str) else v for k, v in options.items()}
    with pytest.raises(InvalidStatus) as refused, echoing.page(**options):
        pass
    assert refused.value.response.status_code == 403
    assert still_alive(echoing)


def test_a_program_with_the_token_may_ask(echoing):
    with echoing.page(origin=None, token=TOKEN) as page:
        ask(page, "hello", 1)
        assert heard(page)["kind"] == "echo"


MALFORMED = [
    "", "{", "null", "7", "[]", '"hello"', "{}", "[" * 100000, '{"a":' * 50000, "NaN", '{"ask": "hello", "seq": NaN}', "\x00", "\ud83d\ude00" * 10,
    json.dumps({"ask": "hello"}), json.dumps({"seq": 1}), json.dumps({"ask": "eval", "seq": 1}), json.dumps({"ask": ["hello"], "seq": 1}),
    json.dumps({"ask": {"a": 1}, "seq": 1}), json.dumps({"ask": "__init__", "seq": 1}), json.dumps({"ask": "\ud800", "seq": 1}),
    *[json.dumps({"ask": "hello", "seq": seq}) for seq in ("1", 1.5, None, True, [], {}, 2**53 + 1, -(2**60))],
    '{"ask": "hello", "seq": ' + "9" * 5000 + "}",
    *[json.dumps({"ask": "descend", "seq": 1, "state": state}) for state in (None, 1, "lr=1", [], True)],
    json.dumps({"ask": "cancel", "seq": 1}), json.dumps({"ask": "cancel", "seq": 1, "what": "hello"}),
    json.dumps({"ask": "cancel", "seq": 1, "what": []}),
    json.dumps({"ask": "runs", "seq": 1}), json.dumps({"ask": "runs", "seq": 1, "on": "yes"}),
    json.dumps({"ask": "follow", "seq": 1, "run": "1; DROP"}),
    json.dumps({"ask": "descend", "seq": 1, "state": {"lr": "9" * 300_000}}),
]  # fmt: skip


def test_what_is_no_question_is_refused_one_by_one(echoing, capfd):
    with echoing.page() as page:
        for text in MALFORMED:
            page.send(text.encode("utf-8", "replace").decode())
            answer = heard(page)
            assert answer["kind"] == "refused", text[:60]
            assert answer["text"], text[:60]
        page.send(b"\x00\xff" * 100)
        assert heard(page)["kind"] == "refused"
        ask(page, "hello", 2)
        assert heard(page) == {"kind": "echo", "seq": 2, "ask": "hello", "state": None}
    assert capfd.readouterr().err == ""


def test_a_refusal_names_the_question(echoing):
    with echoing.page() as page:
        ask(page, "descend", 9, state=[])
        answer = heard(page)
        assert (answer["seq"], answer["ask"], answer["field"]) == (9, "descend", "state")


def test_an_older_question_does_not_replace_a_newer_one(echoing):
    with echoing.page() as page:
        ask(page, "descend", 5)
        assert heard(page)["seq"] == 5
        ask(page, "descend", 4)
        late = heard(page)
        assert (late["kind"], late["seq"]) == ("refused", 4)
        ask(page, "find", 4)  # another kind counts by itself
        assert heard(page)["kind"] == "echo"


@pytest.mark.parametrize("kind", ["text", "bytes"])
def test_an_oversized_frame_ends_that_page_only(echoing, kind):
    with echoing.page() as other, echoing.page() as page:
        much = "x" * (8 * 2**20 + 1)
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012  # whether sending or reading notices is a matter of time
            page.send(much if kind == "text" else much.encode())
            page.recv(timeout=10)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009  # None: what was still on its way cut the line
        ask(other, "hello", 1)
        assert heard(other)["kind"] == "echo"


def test_an_oversized_frame_is_refused_by_its_length_alone(echoing):
    with raw_page(echoing) as raw:
        raw.sendall(b"\x81\xff" + (8 * 2**20 + 1).to_bytes(8, "big") + b"\0\0\0\0")
        answer = b""
        while piece := raw.recv(1000):
            answer += piece
    assert (1009).to_bytes(2, "big") in answer.partition(b"\r\n\r\n")[2]


def test_a_frame_of_the_largest_size_is_read(echoing):
    with echoing.page() as page:
        text = json.dumps({"ask": "table", "seq": 1, "state": {}, "text": ""})
        page.send(text[:-2] + "y" * (8 * 2**20 - len(text)) + text[-2:])
        assert heard(page)["ask"] == "table"


def test_a_message_in_countless_pieces_is_bounded(echoing):
    with echoing.page() as page:
        with pytest.raises(ConnectionClosed) as closed:  # noqa: PT012
            page.send("z" * 65536 for _ in range(1000))
            page.recv(timeout=10)
        assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert still_alive(echoing)


def test_half_a_request_and_rubbish_do_no_harm(echoing):
    for rubbish in (
        b"\x16\x03\x01\x02\x00",
        b"GET",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /" + b"a" * 200_000,
        b"\x00" * 1000,
    ):
        with socket.create_connection(("127.0.0.1", echoing.port), timeout=5) as raw:
            raw.sendall(rubbish)
    assert still_alive(echoing)


def test_it_listens_on_this_machine_only(echoing):
    ports = [line.split()[1:4:2] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]] if sys.platform == "linux" else []
    listening = [address for address, state in ports if state == "0A" and int(address.split(":")[1], 16) == echoing.port]
    assert listening == ["0100007F:" + f"{echoing.port:04X}"]


def test_a_flood_of_questions_has_one_end_each_and_the_newest_answer(echoing):
    count = 20_000
    with echoing.page() as page, echoing.page() as other:
        ends = []
        reading = threading.Thread(target=lambda: ends.extend(unframed(page.recv(timeout=60)) for _ in range(count)))
        reading.start()
        for seq in range(count):
            ask(page, "descend", seq)
            if seq == count // 2:
                ask(other, "descend", 1)
                assert heard(other, timeout=30)["kind"] == "echo"
        reading.join(60)
        assert sorted(end["seq"] for end in ends) == list(range(count))
        assert {end["kind"] for end in ends} <= {"echo", "cancelled"}
        assert ends[-1] == {"kind": "echo", "seq": count - 1, "ask": "descend", "state": None}


class Loud:
    """Tells ten thousand half scenes of 1 MB each: ten gigabytes, if they were kept."""

    def answer(self, question, tell, waiting):
        part = "p" * 2**20
        for index in range(2000 if question["ask"] == "descend" else 0):
            tell({"kind": "scene", "partial": True, "index": index, "part": part})
        tell({"kind": "scene", "partial": False, "seq": question["seq"]})


def test_a_page_that_never_reads_costs_little_memory_and_stops_nobody(lab):
    loud = lab(Loud)
    with raw_page(loud) as deaf, loud.page() as other:
        deaf.sendall(masked(json.dumps({"ask": "descend", "seq": 1})))
        time.sleep(0.3)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ask(other, "find", 1)
        assert heard(other, timeout=120) == {"kind": "scene", "partial": False, "seq": 1}
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert (after - before) / 1024 < 100  # MB, of two thousand told


def test_a_page_that_asks_and_never_reads_is_not_read_either(lab):
    asked = []

    class Counting(Echo):
        def answer(self, question, tell, waiting):
            asked.append(question["seq"])
            tell({"kind": "echo", "seq": question["seq"], "much": "m" * 100_000})

    counting = lab(Counting)
    with raw_page(counting) as deaf:
        deaf.settimeout(2)
        sent = 0
        with pytest.raises(TimeoutError):  # noqa: PT012  # which of them is not taken is a matter of buffers
            while sent < 500_000:
                deaf.sendall(masked(json.dumps({"ask": "descend", "seq": sent, "state": {"pad": "x" * 1000}})))
                sent += 1
        assert sent < 100_000
    assert still_alive(counting)


def test_a_page_that_is_told_too_much_is_closed_and_may_come_back(lab, monkeypatch):
    monkeypatch.setattr("surefoot.lab.outbox.Outbox.__init__.__defaults__", (2**20,))
    told = threading.Event()

    class Much(Echo):
        def answer(self, question, tell, waiting):
            for _ in range(100 if question["ask"] == "find" else 1):  # more than sockets and the page's own queue hold
                tell({"kind": "echo", "seq": question["seq"], "much": "m" * 2**19})
            told.set()

    much = lab(Much)
    with much.page() as page:
        ask(page, "find", 1)
        assert told.wait(20)  # the page reads nothing before
        with pytest.raises(ConnectionClosed) as closed:
            [page.recv(timeout=10) for _ in range(101)]
        assert closed.value.rcvd.code == 1013
    assert still_alive(much)


def test_two_pages_have_conversations_of_their_own(lab):
    class Counter:
        def __init__(self):
            self.count = 0

        def answer(self, question, tell, waiting):
            self.count += 1
            tell({"kind": "count", "seq": question["seq"], "count": self.count})

    counting = lab(Counter)
    with counting.page() as one, counting.page() as two:
        for page, seq, count in ((one, 1, 1), (one, 2, 2), (two, 1, 1), (one, 3, 3), (two, 2, 2)):
            ask(page, "descend", seq)
            assert heard(page) == {"kind": "count", "seq": seq, "count": count}


def test_stopped_and_started_it_takes_the_page_back(lab):
    first = lab(Echo)
    with first.page() as page:
        ask(page, "hello", 1)
        heard(page)
        assert first.stop()
        with pytest.raises(ConnectionClosed):
            page.recv(timeout=10)
    second = lab(Echo, port=first.port)
    assert still_alive(second)


@pytest.fixture
def state_home(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "surefoot" / "lab.token"


def test_the_token_lasts_and_is_the_users_alone(state_home):
    first, note = guard.lasting_token()
    assert (len(first) >= 43, note) == (True, "")
    assert stat.S_IMODE(state_home.stat().st_mode) == 0o600
    assert guard.lasting_token() == (first, "")
    assert [path.name for path in state_home.parent.iterdir()] == ["lab.token"]


@pytest.mark.parametrize("spoilt", ["readable", "link", "empty", "short", "binary", "folder", "no folder"])
def test_a_token_file_that_others_may_have_touched_is_not_used(state_home, spoilt, tmp_path):
    known, _ = guard.lasting_token()
    if spoilt == "readable":
        state_home.chmod(0o644)
    elif spoilt in ("empty", "short", "binary"):
        state_home.write_bytes({"empty": b"", "short": b"abc", "binary": b"\xff" * 64}[spoilt])
    else:
        state_home.unlink()
        if spoilt == "link":
            (tmp_path / "else").write_text(known)
            (tmp_path / "else").chmod(0o600)
            state_home.symlink_to(tmp_path / "else")
        elif spoilt == "folder":
            state_home.mkdir()
        else:
            state_home.parent.rmdir()
            state_home.parent.write_text("in the way")
    one, note = guard.lasting_token()
    two, _ = guard.lasting_token()
    assert len({known, one, two}) == 3
    assert len(one) >= 43
    assert str(state_home) in note


@pytest.fixture
def started(tmp_path):
    """A function: arguments of `surefoot lab` -> the process and the address it printed, in a folder of its own."""
    processes = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, "lab", "--no-browser", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env={**os.environ, "XDG_STATE_HOME": str(tmp_path)},
        )  # fmt: skip
        processes.append(process)
        return process, process.stdout.readline()

    yield start
    for process in processes:
        process.kill()
        process.communicate()


RUN = "import sys; from surefoot.cli.main import main; main(sys.argv[1:])"


def test_the_command_serves_at_once_and_ends_at_ctrl_c(started):
    process, line = started("--port", "0")
    url = line.split()[-1]
    assert httpx.get(url, timeout=10).status_code in (200, 503)  # 503: a checkout in which the page was not built
    port, _ = url.removeprefix("http://127.0.0.1:").split("/?token=")
    assert httpx.get(f"http://127.0.0.1:{port}/", timeout=10).status_code == 403
    process.send_signal(signal.SIGINT)
    assert "Ctrl-C" in process.stdout.readline()
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (0, "", "")
    again, line = started("--port", port)
    assert line.split()[-1] == url  # the same port, the same token: open pages come back
    again.send_signal(signal.SIGINT)
    assert again.wait(30) == 0


def test_ctrl_c_does_not_wait_for_pages_or_computations(started, tmp_path):
    """A problem whose loss takes a minute: the page waits for a descent, and Ctrl-C for neither."""
    (tmp_path / "slow.py").write_text(
        "import time, surefoot\ncalls = []\ndef loss(x):\n    calls.append(0)\n    time.sleep(60 if len(calls) > 1 else 0)\n"
        "    return (x**2).sum()\nproblem = surefoot.Problem.of(loss, start=[1.0])\n"
    )
    process, line = started("slow.py:problem", "--port", "0")
    with connect(line.split()[-1].replace("http:", "ws:").replace("/?", "/ws?"), origin=None, compression=None) as page:
        ask(page, "descend", 1, state={"problem": "own"})
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)  # a second where nothing else runs; the loss takes 60
        assert (process.returncode, err) == (0, "")


def test_misuse_is_told_in_the_terminal_before_anything_is_served(started, tmp_path):
    (tmp_path / "broken.py").write_text("raise ValueError('the user forgot something')\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        cases = {
            ("lien",): "line",
            ("broken.py:problem",): "the user forgot something",
            ("--port", str(taken.getsockname()[1])): "--port",
            ("--port", "70000"): "65535",
            ("--state", "lr=0"): "above 0",
            ("--state", "rate=0.1"): "no setting of the lab",
            ("--state", "lr"): "key=value",
        }
        for arguments, told in cases.items():
            process, line = started(*arguments)
            _, err = process.communicate(timeout=60)
            assert (process.returncode, line) == (2, ""), arguments
            assert told in err, arguments
            assert "Traceback" not in err.split("the user forgot")[0][:50]


def raw_page(lab):
    """A channel without a client library, which reads on its own: this one never does."""
    raw = socket.create_connection(("127.0.0.1", lab.port), timeout=10)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    raw.sendall(
        (
            f"GET /ws HTTP/1.1\r\nHost: {lab.host}\r\nOrigin: {lab.url}\r\nCookie: surefoot_lab_{lab.port}={lab.token}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ).encode()
    )
    assert raw.recv(12) == b"HTTP/1.1 101"
    return raw


def masked(text):
    """A text frame as a browser sends it (RFC 6455, section 5.2), with a mask of zeros."""
    data = text.encode()
    length = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return b"\x81" + length + b"\0\0\0\0" + data
