"""Requests upon requests to the web page: what it answers, and its memory before and after.

    python bench/soak.py
    python bench/soak.py --requests 100 --at-once 8 --max-megabytes 20

Uploads are from 1 kB to the limit and beyond. Every other client sends a phantom's scan; the others
send noise, torn files and bombs, or hang up in the middle of their upload or of their wait. Who is
told that the queue is full comes again after some seconds. The page runs in a process of its own;
its memory (resident set) is read after the first request, which loads the encoder, after every
tenth of the requests, and at the end, when it must still answer.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil

from gmrd.data.phantom import make_phantom

TRIES, PAUSE = 100, 5.0
"""How often somebody comes again to a full queue, and after how many seconds."""

QUEUE_IS_FULL = "queue is full"

SERVE = "from gmrd.cli.app import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--requests", type=int, default=100)
    parser.add_argument("--at-once", type=int, default=8)
    parser.add_argument("--max-megabytes", type=int, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scans = make_phantom(folder / "phantom", n_cases=2, seed=0, size=64)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        (folder / "temporary").mkdir()
        page = subprocess.Popen(
            [sys.executable, "-c", SERVE, f"port={port}", f"max_megabytes={options.max_megabytes}"],
            env={**os.environ, "TMPDIR": str(folder / "temporary")},
            stdout=(folder / "log").open("w"), stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            soak(Client(f"http://127.0.0.1:{port}", scans, options.max_megabytes), page, options)
        finally:
            page.terminate()
            page.wait(60)
        names = [path.name for path in (folder / "temporary").iterdir()]
        left = [name for name in names if name.startswith(("gmrd", "gradio"))]
        print(f"status {page.returncode}; left in the temporary folder: {left or 'nothing'}")
        log = (folder / "log").read_text().splitlines()
        errors = Counter(line[:150] for line in log if re.match(r"[\w.]+(Error|Exception)", line))
        print("errors in its log:", dict(errors) or "none")


def soak(client: Client, page: subprocess.Popen[bytes], options: argparse.Namespace) -> None:
    while True:
        try:
            httpx.get(client.url)
            break
        except httpx.TransportError:
            time.sleep(0.5)
    first = client.whole()
    before, start = memory(page), time.monotonic()
    answers, sizes = list[str](), list[str]()
    with ThreadPoolExecutor(options.at_once) as pool:
        odd = list(client.kinds)[1:]
        kinds = [odd[i // 2 % len(odd)] if i % 2 else "a scan" for i in range(options.requests)]
        random.Random(0).shuffle(kinds)
        for answer in pool.map(client.ask, kinds):
            answers.append(answer)
            if len(answers) % max(1, options.requests // 10) == 0:
                sizes.append(f"{memory(page) / 1e6:.0f}")
    took, last = time.monotonic() - start, client.whole()
    after = memory(page)
    print(f"{options.requests} requests, {options.at_once} at once, {took:.0f} s")
    for (kind, answer), n in sorted(Counter(zip(kinds, answers, strict=True)).items()):
        print(f"  {n:3} {kind}: {answer}")
    print(f"a whole request before: {first}; after: {last}")
    print(f"told that the queue is full, and came again: {client.came_again} times")
    print(f"memory in MB: {before / 1e6:.0f} before, {', '.join(sizes)}, {after / 1e6:.0f} after")


def memory(page: subprocess.Popen[bytes]) -> int:
    return int(psutil.Process(page.pid).memory_info().rss)


class Client:
    """Somebody with a browser, or with worse.

    Args:
        url: of the page.
        scans: a phantom's folder.
        limit: megabytes that the page takes.

    Attributes:
        came_again: how often the queue was full.
    """

    def __init__(self, url: str, scans: Path, limit: int) -> None:
        self.url, self.scans, self.limit, self.came_again = url, scans, limit, 0
        self.kinds = {
            "a scan": self.whole,
            "1 kB of noise": lambda: self._query("a.nii", os.urandom(1000)),
            "noise up to the limit": lambda: self._query("a.nii", os.urandom((limit << 20) - 9999)),
            "more than the limit": lambda: self._query("a.nii", bytes((limit << 20) + 9999)),
            "a torn scan": lambda: self._query("a.nii.gz", self._bytes("image_2")[:20_000]),
            "a bomb": lambda: self._query(
                "a.nii.gz", gzip.compress(gzip.decompress(self._bytes("image_2")) + bytes(1 << 27))
            ),
            "hung up while sending": self._hang_up,
            "hung up while waiting": self._leave,
        }

    def ask(self, kind: str) -> str:
        try:
            return self.kinds[kind]()
        except httpx.HTTPError as error:
            return type(error).__name__

    def whole(self) -> str:
        return self._query("image_2.nii.gz", self._bytes("image_2"))

    def _bytes(self, name: str) -> bytes:
        return (self.scans / f"{name}.nii.gz").read_bytes()

    def _send(self, name: str, data: bytes) -> str | None:
        """Where an upload lies on the page's side; None if it is refused."""
        answer = httpx.post(
            f"{self.url}/gradio_api/upload", files={"files": (name, data)}, timeout=600
        )
        return answer.json()[0] if answer.status_code == 200 else None

    def _call(self, name: str, data: bytes) -> str | None:
        """The number of a request whose files were taken."""
        sent = [
            self._send(n, d)
            for n, d in (
                ("image_1.nii.gz", self._bytes("image_1")),
                ("label_1.nii.gz", self._bytes("label_1")),
                (name, data),
            )
        ]
        if None in sent:
            return None
        image, label, query = ({"path": s, "meta": {"_type": "gradio.FileData"}} for s in sent)
        for _ in range(TRIES):
            answer = httpx.post(
                f"{self.url}/gradio_api/call/segment",
                json={"data": [[image], [label], [query]]}, timeout=600,
            )  # fmt: skip
            if answer.status_code == 200:
                return str(answer.json()["event_id"])
            self.came_again += 1
            time.sleep(PAUSE)
        return QUEUE_IS_FULL

    def _query(self, name: str, data: bytes) -> str:
        number = self._call(name, data)
        if number is None:
            return "refused: too large"
        if number == QUEUE_IS_FULL:
            return number
        with httpx.stream(
            "GET", f"{self.url}/gradio_api/call/segment/{number}", timeout=900
        ) as answer:
            event = ""
            for line in answer.iter_lines():
                if line.startswith("event:"):
                    event = line.split(":", 1)[1].strip()
                elif line.startswith("data:") and event in ("complete", "error"):
                    return _outcome(line) if event == "complete" else _words(line[5:])
        return "no answer"

    def _hang_up(self) -> str:
        host, port = self.url.rsplit("/", 1)[1].split(":")
        with socket.create_connection((host, int(port))) as line:
            head = (
                f"POST /gradio_api/upload HTTP/1.1\r\nHost: {host}\r\nContent-Length: 5000000\r\n"
                "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\nContent-Disposition: "
                'form-data; name="files"; filename="half.nii"\r\n\r\n'
            )
            line.sendall(head.encode() + bytes(1_000_000))
        return "gone"

    def _leave(self) -> str:
        return "gone" if self._call("image_2.nii.gz", self._bytes("image_2")) else "refused"


def _outcome(answer: str) -> str:
    """What the page's table says of the scan: only an error fills a row."""
    error = re.search(r"<td colspan=[^>]*>(.*?)<", answer)
    return f"refused: {' '.join(error[1].split()[:9])}" if error else "segmented"


def _words(data: str) -> str:
    said = json.loads(data)
    text = said if isinstance(said, str) else (said or {}).get("error", str(said))
    return " ".join(f"told: {text}".split()[:9])


if __name__ == "__main__":
    main()
