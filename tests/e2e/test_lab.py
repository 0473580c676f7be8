"""The lab set-up as `lab/README.md` tells it: a real nginx in front of the real app, and ways around it tried."""

import base64
import contextlib
import http.client
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from benchmarks.app_server import ARGUMENTS, CHROMIUM, IDLE, wait_for
from benchmarks.provenance import ROOT
from esacl import processes, quota
from esacl.store import RunStore

pytestmark = pytest.mark.browser
NAME, USER, PASSWORD = "lab.example.org", "ada", "countess of lovelace"
LOGIN = {"Authorization": "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()}


@dataclass(frozen=True)
class Lab:
    """Where proxy and app listen, and what the app keeps."""

    proxy: int
    app: int
    store: RunStore

    def ask(self, path="/", headers=(), *, name=NAME, host=None):
        """Status, headers and text of the proxy's answer, over TLS, to somebody who looked for `name`."""
        with self.connected(name) as connection:
            connection.request("GET", path, headers={"Host": host or NAME, "Connection": "close", **dict(headers)})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    @contextlib.contextmanager
    def connected(self, name=NAME):
        """A connection over TLS that looked for `name`, for one request after another."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with (
            socket.create_connection(("127.0.0.1", self.proxy), timeout=20) as plain,
            context.wrap_socket(plain, server_hostname=name) as safe,
        ):
            connection = http.client.HTTPConnection(NAME, timeout=20)
            connection.sock = safe
            yield connection


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """nginx with the project's own file, names and paths being those of the test; the app as lab/README.md says."""
    if shutil.which("nginx") is None or shutil.which("openssl") is None:
        if os.environ.get("CI"):
            pytest.fail("no nginx or openssl on this machine; in CI the lab is never skipped")
        pytest.skip("no nginx: apt-get install nginx-light openssl")
    folder = tmp_path_factory.mktemp("lab")
    proxy, app = _free(), _free()
    store = RunStore(folder / "runs")
    readme = (ROOT / "lab" / "README.md").read_text()
    server = _app(readme, app, store, folder / "app.log")
    front = _nginx(folder, proxy, app)
    try:
        wait_for(f"http://127.0.0.1:{app}/_stcore/health", server, folder / "app.log")
        yield Lab(proxy, app, store)
    finally:
        for process in (front, server):
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(20)
        for run_id in store.ids():
            until = time.monotonic() + 120
            while store.workers.alive(run_id) and time.monotonic() < until:  # it may not have signed in yet
                processes.kill(store, run_id)
                time.sleep(0.2)


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _app(readme: str, port: int, store: RunStore, log: Path) -> subprocess.Popen:
    trusted = re.search(r"STREAMLIT_SERVER_TRUSTED_USER_HEADERS='(.+)'", readme)[1]
    options = re.search(r"^ +esacl app (.+)$", readme, re.MULTILINE)[1].split()
    environment = {**os.environ, "STREAMLIT_SERVER_TRUSTED_USER_HEADERS": trusted, quota.JOBS: "1", quota.BYTES: "5GB"}
    command = [sys.executable, "-m", "esacl", "app", "--runs", str(store.root), "--server.port", str(port), *options]
    with log.open("w") as output:
        return subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )


def _nginx(folder: Path, port: int, app: int) -> subprocess.Popen:
    made = {name: folder / name for name in ("certificate.pem", "key.pem", "users")}
    subject = ["-subj", f"/CN={NAME}", "-days", "2", "-nodes", "-newkey", "rsa:2048"]
    keys = ["-keyout", str(made["key.pem"]), "-out", str(made["certificate.pem"])]
    subprocess.run(["openssl", "req", "-x509", *subject, *keys], check=True, capture_output=True)
    secret = subprocess.run(["openssl", "passwd", "-apr1", PASSWORD], check=True, capture_output=True, text=True)
    made["users"].write_text(f"{USER}:{secret.stdout}")
    site = (ROOT / "lab" / "nginx.conf").read_text()
    for name, path in made.items():
        site = site.replace(f"/etc/esacl/{name}", str(path))
    site = site.replace("listen 443", f"listen 127.0.0.1:{port}").replace("127.0.0.1:8501", f"127.0.0.1:{app}")
    (folder / "site.conf").write_text(site)
    places = "".join(
        f"{name}_temp_path {folder / name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off;\nuser root;\npid {folder / 'pid'};\nerror_log {folder / 'error.log'};\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}include {folder / 'site.conf'};\n}}\n"
    )
    command = ["nginx", "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with (folder / "nginx.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return process
        if process.poll() is not None:
            break
        time.sleep(0.05)
    pytest.fail(f"nginx did not come up: {(folder / 'nginx.log').read_text()[-500:]}")


def _first_line(port: int, host: str) -> str:
    """What a server answers to somebody who asks it for a socket under the name `host`."""
    key = base64.b64encode(bytes(16)).decode()
    lines = [
        "GET /_stcore/stream HTTP/1.1", f"Host: {host}", f"Origin: https://{host}", "Upgrade: websocket",
        "Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}",
    ]  # fmt: skip
    with socket.create_connection(("127.0.0.1", port), timeout=20) as plain:
        plain.sendall("\r\n".join([*lines, "", ""]).encode())
        return plain.recv(200).decode().splitlines()[0]


@pytest.mark.parametrize("path", ["/", "/compare", "/_stcore/stream", "/_stcore/host-config", "/app/static/x.js"])
@pytest.mark.parametrize("login", [{}, {"Authorization": "Basic " + base64.b64encode(b"ada:guess").decode()}])
def test_nothing_is_there_without_a_login(lab, path, login):
    status, _, told = lab.ask(path, login)
    assert (status, b"streamlit" in told.lower()) == (401, False)


def test_who_guesses_passwords_is_held_up_and_nobody_else(lab):
    statuses = []
    guess = {"Host": NAME, "Authorization": "Basic " + base64.b64encode(b"eve:guess").decode()}
    with lab.connected() as connection:
        for _ in range(700):
            connection.request("GET", "/", headers=guess)
            answer = connection.getresponse()
            answer.read()
            statuses.append(answer.status)
    assert set(statuses) == {401, 429}
    assert statuses.index(429) >= 400
    assert lab.ask("/", LOGIN)[0] == 200


def test_with_a_login_the_app_is_there_and_says_that_it_is_reached_by_tls_only(lab):
    status, headers, told = lab.ask("/", LOGIN)
    assert (status, b"streamlit" in told.lower()) == (200, True)
    assert headers["Strict-Transport-Security"]
    assert headers["X-Frame-Options"] == "DENY"


def test_another_name_learns_nothing(lab):
    with pytest.raises(ssl.SSLError):
        lab.ask(headers=LOGIN, name="elsewhere.example.org")
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        lab.ask(headers=LOGIN, host="elsewhere.example.org")


def test_the_app_itself_listens_on_the_loopback_and_opens_no_socket_to_a_foreign_name(lab):
    listening = {c.laddr.ip for c in psutil.net_connections("tcp") if c.laddr.port == lab.app and c.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    said = {host: _first_line(lab.app, host) for host in (NAME, "elsewhere.example.org")}
    assert "101" in said[NAME]
    assert "403" in said["elsewhere.example.org"]


def test_who_has_logged_in_starts_one_run_and_not_a_second_whatever_the_browser_calls_itself(lab, browser):
    where = [f"--host-resolver-rules=MAP {NAME} 127.0.0.1"]
    own = browser.browser_type.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *where])
    try:
        context = own.new_context(
            ignore_https_errors=True,
            http_credentials={"username": USER, "password": PASSWORD},
            extra_http_headers={"X-Remote-User": "mallory"},
        )
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"https://{NAME}:{lab.proxy}/run")
        page.wait_for_selector(IDLE)
        start = page.get_by_role("button", name="Start the run")
        start.click()
        page.wait_for_selector(IDLE)
        page.get_by_role("button", name="Cancel").first.wait_for()
        start.click()
        page.get_by_text("1 of your jobs are at work or wait, and this server allows 1").wait_for()
    finally:
        own.close()
    (run_id,) = lab.store.ids()
    assert quota.owner_of(lab.store, run_id) == USER
    assert quota.jobs_of(lab.store, USER) == 1
    assert quota.jobs_of(lab.store, "") == 0
