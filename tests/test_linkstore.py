"""The store of links, and `otel-ext link`."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from otel_ext.app import Sidecar
from otel_ext.cli import main
from otel_ext.configfile import load
from otel_ext.linkstore import LinkStore, Pair
from otel_ext.wire import encode

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_pairs_survive_a_restart(tmp_path: Path) -> None:
    """By either id; the newest where one was learned twice."""
    LinkStore(tmp_path / "links").add([Pair(TRACE, "old"), Pair(TRACE, "lf-1")])
    store = LinkStore(tmp_path / "links")
    assert store.find(TRACE) == store.find("lf-1") == Pair(TRACE, "lf-1")
    assert store.find("old") is None


def test_it_is_bounded(tmp_path: Path) -> None:
    """Those learned first go."""
    store = LinkStore(tmp_path / "links", rows_max=10)
    for number in range(35):
        store.add([Pair(f"{number:032x}", f"lf-{number}")])
    assert len(store) == 10
    assert store.find("lf-24") is None
    assert store.find("lf-25")


def test_processes_and_threads_share_it(tmp_path: Path) -> None:
    """Nothing is lost when several write at once."""
    LinkStore(tmp_path / "links")

    def write(first: int) -> None:
        store = LinkStore(tmp_path / "links")
        for number in range(first, first + 20):
            store.add([Pair(f"{number:032x}", f"lf-{number}")])

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(LinkStore(tmp_path / "links")) == 80


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """An OSError with its path."""
    (tmp_path / "text").write_text("no database, but a long enough text to be taken for one" * 30)
    for path in (tmp_path / "text", tmp_path / "absent" / "links"):
        with pytest.raises(OSError, match=str(path)):
            LinkStore(path)


def config(tmp_path: Path, store: bool = True) -> str:
    file = tmp_path / "c.yaml"
    line = f", store: {tmp_path / 'links'}" if store else ""
    file.write_text(f"links: {{langfuse_url: https://lf.example, langfuse_project: p, grafana_url: https://g.example{line}}}\n")
    return str(file)


@pytest.mark.parametrize("asked", [TRACE, TRACE.upper(), "lf-1"])
def test_the_command_prints_both_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str], asked: str) -> None:
    """For an id of either system, with what the store has learned."""
    LinkStore(tmp_path / "links").add([Pair(TRACE, "lf-1")])
    assert main(["link", asked, "--config", config(tmp_path)]) == 0
    langfuse, tempo = capsys.readouterr().out.splitlines()
    assert langfuse == "Langfuse: https://lf.example/project/p/traces/lf-1"
    assert tempo.startswith("Tempo: https://g.example/explore")
    assert TRACE in tempo


def test_an_id_that_was_never_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Taken as the id of both systems where it can be one of Tempo's; else Langfuse's alone, and it says so."""
    assert main(["link", TRACE, "--config", config(tmp_path, store=False)]) == 0
    assert capsys.readouterr().out.count(TRACE) == 2
    assert main(["link", "8f14e45f-ceea-467f-a0e6-1f4b5c2d9e3a", "--config", config(tmp_path)]) == 0
    out = capsys.readouterr()
    assert "Tempo" not in out.out
    assert "not known" in out.err


def test_without_addresses_there_is_nothing_to_print(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what is missing."""
    assert main(["link", TRACE]) == 2
    assert "links.langfuse_url" in capsys.readouterr().err


async def test_the_sidecar_keeps_what_it_learns(tmp_path: Path) -> None:
    """An id that differs, on any span of a trace, is in the store when the sidecar has stopped."""
    settings = load(
        f"links: {{store: {tmp_path / 'links'}}}\nreceivers: {{grpc: null, http: null}}\nadmin: {{endpoint: 127.0.0.1:0}}\n", {}
    )
    sidecar = Sidecar(settings)
    await sidecar.start()
    span = encode.span(bytes.fromhex(TRACE), b"\x01" * 8, b"", "GET", 1, 2, {"langfuse.trace_id": "lf-5"})
    await sidecar.consume(encode.request({}, "s", "", [span]))
    await sidecar.stop()
    assert LinkStore(tmp_path / "links").find("lf-5") == Pair(TRACE, "lf-5")


def test_the_file_is_an_ordinary_database(tmp_path: Path) -> None:
    """One table, for whoever wants to look."""
    LinkStore(tmp_path / "links").add([Pair(TRACE, "lf-1")])
    assert sqlite3.connect(tmp_path / "links").execute("SELECT * FROM links").fetchall() == [(TRACE, "lf-1")]
