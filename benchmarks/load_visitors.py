"""Visitors of the app for `benchmarks.load`: most speak Streamlit's own protocol, some are real browser pages.

A `Caller` is a websocket client that does what Streamlit's page does: it asks for a run of the script, takes every
message that comes, asks again for a fragment as often as the app has told it to, and presses buttons by their keys.
What it does not do is draw.
"""

import asyncio
import contextlib
import random
import re
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

PAGES = (
    "", "runs", "forgetting", "training", "sparsity", "curvature", "landscape", "theory", "selection", "cost", "deploy",
    "compare", "experiments",
)  # fmt: skip
PATIENCE = 60.0  # seconds until an answer is taken for lost
ERROR = 1  # Alert.Format
TYPED = {"new-epochs": 2, "new-tasks": 2}  # what users type into the form, so that their runs are short
IDLE = "[data-testid=stApp][data-test-script-state=notRunning]"
FAULTS = "[data-testid=stException], [data-testid=stAlertContentError]"


@dataclass
class Seen:
    """What a visitor has seen: seconds until a page or a fragment was there, runs started, and what went wrong."""

    pages: list[tuple[str, float]] = field(default_factory=list)  # which, and its seconds
    fragments: list[float] = field(default_factory=list)
    started: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Visitor(Protocol):
    """Somebody who browses, starts runs, follows and cancels them."""

    seen: Seen

    async def browse(self, page: str) -> None:
        """Open a page."""

    async def start(self) -> None:
        """Start a run."""

    async def follow(self, seconds: float) -> None:
        """Look at the Run page, which redraws itself."""

    async def cancel(self) -> None:
        """Cancel the run that is shown, if it is one's own and under way."""


async def stay(visitor: Visitor, rng: random.Random, until: float) -> None:
    """Do this and that until the time has come, with pauses in which a person would look."""
    deeds = {"browse": 6, "start": 2, "follow": 3, "cancel": 1}
    while time.monotonic() < until:
        await asyncio.sleep(rng.uniform(2, 6))
        deed = rng.choices(list(deeds), list(deeds.values()))[0]
        try:
            if deed == "browse":
                await visitor.browse(rng.choice(PAGES))
            elif deed == "start":
                await visitor.start()
                await visitor.follow(rng.uniform(3, 12))
            elif deed == "follow":
                await visitor.follow(rng.uniform(3, 12))
            else:
                await visitor.cancel()
        except Exception as error:  # a visitor who is thrown out is an error too
            visitor.seen.errors.append(f"{deed}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")


class Caller:
    """A session over the websocket, made by `calling`."""

    def __init__(self, socket: Any, seen: Seen) -> None:
        self.seen, self.query = seen, ""
        self._socket = socket
        self._ids: dict[str, str] = {}  # key of a widget on the page -> its id
        self._states: dict[str, int] = {}  # id of a number input -> what was typed
        self._pages: dict[str, str] = {}  # path -> hash of its script
        self._here = ""
        self._timers: list[asyncio.Task[None]] = []
        self._asked: dict[str, float] = {}  # fragment ("" is the page) -> since when
        self._done = asyncio.Event()

    async def browse(self, page: str) -> None:
        """Open a page and wait until its script has come to its end."""
        self._here = page
        await self._ask()

    async def start(self) -> None:
        """Type few epochs and tasks, press the button of the Run page, and note the run that this has made."""
        await self.browse("run")
        for key, identifier in self._ids.items():
            for begin, number in TYPED.items():
                if key.startswith(begin):
                    self._states[identifier] = number
        await self._ask()  # as a page does when a number was typed; the button starts what is on the page then
        before = self._run()
        await self._press("start")
        if (run_id := self._run()) in ("", before):
            self.seen.errors.append("start: no run was started")
        else:
            self.seen.started.append(run_id)

    async def follow(self, seconds: float) -> None:
        """Let the fragments of the Run page run."""
        await self.browse("run")
        await asyncio.sleep(seconds)

    async def cancel(self) -> None:
        """Press Cancel where there is such a button for a run of one's own."""
        await self.browse("run")
        if "cancel" in self._ids and self._run() in self.seen.started:
            await self._press("cancel")
            self.seen.cancelled.append(self._run())

    async def listen(self) -> None:
        """Take every message until the connection ends."""
        async for data in self._socket:
            message = ForwardMsg()
            message.ParseFromString(data)
            self._take(message)

    def _take(self, message: ForwardMsg) -> None:
        kind = message.WhichOneof("type")
        if kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            self._element(message.delta.new_element)
        elif kind == "navigation":
            pages = message.navigation.app_pages
            self._pages = {"" if page.is_default else page.url_pathname: page.page_script_hash for page in pages}
        elif kind == "page_info_changed":
            self.query = message.page_info_changed.query_string
        elif kind == "new_session" and ("" in self._asked or not self._asked):
            self._still()  # a whole page is drawn anew, and says again what is to be repeated
        elif kind == "auto_rerun":
            told = message.auto_rerun
            self._timers.append(asyncio.ensure_future(self._again(told.fragment_id, told.interval)))
        elif kind == "script_finished":
            self._finished(message.script_finished)

    def _element(self, element: Any) -> None:
        kind = element.WhichOneof("type")
        if kind == "exception" and not element.exception.is_warning:
            self.seen.errors.append(f"{self._here}: {element.exception.type}: {element.exception.message[:200]}")
        elif kind == "alert" and element.alert.format == ERROR:
            self.seen.errors.append(f"{self._here}: {element.alert.body[:200]}")
        elif kind is not None and (identifier := getattr(getattr(element, kind), "id", "")):
            self._ids[identifier.rpartition("-None")[0] or identifier.split("-", 2)[-1]] = identifier

    def _finished(self, status: int) -> None:
        if status == ForwardMsg.FINISHED_WITH_COMPILE_ERROR:
            self.seen.errors.append(f"{self._here}: the script cannot be compiled")
        if status == ForwardMsg.FINISHED_EARLY_FOR_RERUN:
            return  # what was asked for comes with the next run
        fragment = status == ForwardMsg.FINISHED_FRAGMENT_RUN_SUCCESSFULLY
        keys = [key for key in self._asked if bool(key) == fragment]
        for key in keys[:1]:
            seconds = time.monotonic() - self._asked.pop(key)
            if key:
                self.seen.fragments.append(seconds)
            else:
                self.seen.pages.append((self._here, seconds))
        if not fragment:
            self._asked.clear()  # what fragments were asked for was drawn with the page
            self._done.set()

    async def _press(self, key: str) -> None:
        found = [identifier for name, identifier in self._ids.items() if name == key]
        if not found:
            raise LookupError(f"there is no button {key!r} on page {self._here!r}")
        await self._ask(pressed=found[0])

    async def _ask(self, pressed: str = "") -> None:
        self._still()
        self._done.clear()
        self._asked = {"": time.monotonic()}
        if not pressed:
            self._ids.clear()
        await self._send(pressed=pressed)
        await asyncio.wait_for(self._done.wait(), PATIENCE)

    async def _again(self, fragment: str, interval: float) -> None:
        while True:
            await asyncio.sleep(interval)
            if fragment not in self._asked and "" not in self._asked:
                self._asked[fragment] = time.monotonic()
                await self._send(fragment=fragment)

    async def _send(self, *, pressed: str = "", fragment: str = "") -> None:
        state = ClientState(query_string=self.query, page_script_hash=self._pages.get(self._here, ""))
        state.page_name = "" if state.page_script_hash else self._here
        state.fragment_id, state.is_auto_rerun = fragment, bool(fragment)
        for identifier, number in self._states.items():
            state.widget_states.widgets.add(id=identifier, int_value=number)
        if pressed:
            state.widget_states.widgets.add(id=pressed, trigger_value=True)
        await self._socket.send(BackMsg(rerun_script=state).SerializeToString())

    def _run(self) -> str:
        found = re.search(r"(?:^|[?&])run=([\w-]+)", self.query)
        return found[1] if found else ""

    def _still(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


@contextlib.asynccontextmanager
async def calling(root: str, seen: Seen) -> Any:
    """A `Caller` on the server at http://HOST:PORT, its first page drawn."""
    from websockets.asyncio.client import connect

    address = root.replace("http", "ws", 1) + "/_stcore/stream"
    async with connect(address, subprotocols=["streamlit"], origin=root, max_size=None) as socket:  # type: ignore[arg-type,list-item]
        caller = Caller(socket, seen)
        listening = asyncio.ensure_future(caller.listen())
        try:
            await caller.browse("")
            yield caller
        finally:
            caller._still()
            listening.cancel()


class Browser:
    """A page of a real browser, which draws what it is sent."""

    def __init__(self, page: Any, root: str, seen: Seen) -> None:
        self.seen = seen
        self._page, self._root = page, root
        page.on("pageerror", lambda error: seen.errors.append(f"in the browser: {error}"))

    async def browse(self, page: str) -> None:
        """Open a page and wait until its script has come to its end."""
        begun, query = time.monotonic(), self._page.url.partition("?")[2]
        await self._page.goto(f"{self._root}/{page}{'?' if query else ''}{query}")
        await self._page.wait_for_selector("h1")
        await self._page.wait_for_selector(IDLE)
        self.seen.pages.append((page, time.monotonic() - begun))
        for fault in await self._page.locator(FAULTS).all_inner_texts():
            self.seen.errors.append(f"{page}: {' '.join(fault.split())[:200]}")

    async def start(self) -> None:
        """Type few epochs and press the button."""
        await self.browse("run")
        epochs = self._page.get_by_role("spinbutton", name="Epochs")
        await epochs.fill(str(TYPED["new-epochs"]))
        await epochs.press("Enter")
        await self._page.wait_for_selector(IDLE)
        before = self._run()
        await self._page.get_by_role("button", name="Start the run").click()
        await self._page.wait_for_function(f"() => !location.search.includes('run={before or 'none'}')")
        self.seen.started.append(self._run())

    async def follow(self, seconds: float) -> None:
        """Look at the Run page, which redraws itself."""
        await self.browse("run")
        await asyncio.sleep(seconds)

    async def cancel(self) -> None:
        """Press Cancel where there is such a button for a run of one's own."""
        await self.browse("run")
        button = self._page.get_by_role("button", name="Cancel", exact=True)
        if await button.count() and self._run() in self.seen.started:
            with contextlib.suppress(Exception):  # the run may end while the mouse is on its way
                await button.click(timeout=5000)
                self.seen.cancelled.append(self._run())

    def _run(self) -> str:
        found = re.search(r"[?&]run=([\w-]+)", self._page.url)
        return found[1] if found else ""
