"""The command line: arguments in, exit code out (0 done, 1 failed while running, 2 bad arguments or configuration)."""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

# One thread is enough for the small arrays here, and the pool of a numerical library costs megabytes: say so before it loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# gRPC's core writes lines of its own past our log; what they say reaches us as errors too.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from otel_ext import __version__
from otel_ext.configfile import Loaded, read
from otel_ext.errors import ConfigError, MalformedPayload, OtelExtError
from otel_ext.settings import Settings

TRACE_ID_DIGITS = 32
STARTERS = ("local", "alloy", "collector", "kubernetes")
OPTIONAL_PARTS = {"uvloop": "faster event loop", "langfuse": "Langfuse SDK"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code."""
    arguments = _parser().parse_args(argv)
    command: Callable[[argparse.Namespace], int] = arguments.command
    try:
        return command(arguments)
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # The reader of our output has enough (`| head`). What is still buffered must not raise again on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OtelExtError, OSError) as error:
        print(f"otel-ext: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="otel-ext", description="Links agent traces between Langfuse and Tempo, and says what went wrong in them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="run the sidecar")
    serve.add_argument("--config", metavar="F", help="YAML configuration; without it: receive, judge, serve metrics, forward nowhere")
    serve.set_defaults(command=_serve)
    demo = commands.add_parser("demo", help="a sidecar on free ports, sample agent traces, and what was found in them")
    demo.set_defaults(command=_demo)
    scan = commands.add_parser("scan", help="the same rules over stored traces")
    scan.add_argument("files", nargs="+", metavar="FILE", help="OTLP/JSON lines or OTLP protobuf, also .gz; - for standard input")
    scan.add_argument("--format", choices=("table", "json"), default="table")
    scan.add_argument("--config", metavar="F")
    scan.add_argument("--explain", metavar="TRACE_ID", help="that trace step by step, and why each rule fired or did not; a prefix will do")
    scan.add_argument("--labels", metavar="F", help='precision and recall, for JSON lines of {"trace_id": .., "label": {"loop": true, ..}}')
    scan.set_defaults(command=_scan)
    check = commands.add_parser("check-config", help="say what is wrong with a configuration, and what is unwise")
    check.add_argument("file", metavar="F")
    check.add_argument("--strict", action="store_true", help="exit 2 for what is unwise too")
    check.set_defaults(command=_check)
    init = commands.add_parser("init", help="write a commented configuration to start from")
    init.add_argument("place", choices=STARTERS)
    init.add_argument("--output", metavar="F", default="otel-ext.yaml", help="default: otel-ext.yaml; - for standard output")
    init.set_defaults(command=_init)
    link = commands.add_parser("link", help="the pages of a trace in Langfuse and Grafana, by its id in either")
    link.add_argument("trace_id", metavar="TRACE_ID")
    link.add_argument("--config", metavar="F", help="whose `links` say where the systems are, and where learned ids are kept")
    link.set_defaults(command=_link)
    doctor = commands.add_parser("doctor", help="ask every part of a configuration whether it works, by using it")
    doctor.add_argument("--config", metavar="F")
    doctor.add_argument("--deadline", metavar="SECONDS", type=float, default=60.0, help="for the test trace to be readable; default: 60")
    doctor.set_defaults(command=_doctor)
    _add_prices(commands.add_parser("prices", help="what model calls cost").add_subparsers(required=True, metavar="COMMAND"))
    version = commands.add_parser("version", help="version, codec in use, optional parts")
    version.set_defaults(command=_version)
    return parser


def _add_prices(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    show = commands.add_parser("show", help="the price that holds for a model, and where it comes from")
    show.add_argument("model", metavar="MODEL", help="as spans name it")
    show.add_argument("--config", metavar="F", help="whose `prices` go first")
    show.set_defaults(command=_show_price)
    push = commands.add_parser("push", help="create the model definitions that a Langfuse project lacks")
    push.add_argument("--config", metavar="F", help="whose `prices` go first, and whose `exporters.langfuse` says where")
    push.add_argument("--host", help="of Langfuse; default: the configuration's, else LANGFUSE_BASE_URL or LANGFUSE_HOST")
    push.add_argument("--public-key", help="default: the configuration's, else LANGFUSE_PUBLIC_KEY")
    push.add_argument("--secret-key", help="default: the configuration's, else LANGFUSE_SECRET_KEY")
    push.add_argument("--match", metavar="REGEX", default="", help="only models in whose name it finds something")
    push.add_argument("--yes", action="store_true", help="create them; without it nothing is changed")
    push.set_defaults(command=_push_prices)


def settings_from(path: str | None) -> Settings:
    """The configuration in *path*, or the defaults; raises ConfigError."""
    return _loaded(path).settings


def _loaded(path: str | None) -> Loaded:
    try:
        text = Path(path).read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})"]) from None
    return read(text, os.environ)


def _serve(arguments: argparse.Namespace) -> int:
    from otel_ext.app import serve

    return serve(settings_from(arguments.config), partial(settings_from, arguments.config))


def _demo(_arguments: argparse.Namespace) -> int:
    from otel_ext.demo import run

    return run(sys.stdout)


def _scan(arguments: argparse.Namespace) -> int:
    from otel_ext.calibrate import Census, scored
    from otel_ext.offline import Labels, Scanner, Stored, long_lived
    from otel_ext.report import findings_table
    from otel_ext.ruleload import load_rules

    settings = settings_from(arguments.config)
    if arguments.explain:
        settings = long_lived(settings)
    scanner = Scanner(settings, load_rules(settings.detect.rules))
    census = Census(scanner.pipeline.verdicts)
    scanner.pipeline.verdicts.observe = census
    stored = Stored(arguments.files)
    try:
        findings = scanner.findings(stored)
    except MalformedPayload as error:
        raise stored.fault(error) from None
    if arguments.explain:
        print(scanner.explained(arguments.explain, findings))
    elif arguments.format == "json":
        for finding in findings:
            print(finding.to_json())
    else:
        print(findings_table(findings) if findings else "nothing found")
        print(f"\n{len(findings)} findings in {scanner.spans} spans of {len(scanner.traces)} traces")
        if report := census.report(findings):
            print(f"\n{report}")
    if arguments.labels:
        print(f"\n{scored(findings, Labels(arguments.labels))}", file=sys.stderr if arguments.format == "json" else sys.stdout)
    return 0


def _check(arguments: argparse.Namespace) -> int:
    from otel_ext.configadvice import advice
    from otel_ext.pricelist import price_list
    from otel_ext.ruleload import load_rules

    loaded = _loaded(arguments.file)
    price_list(loaded.settings.prices)
    load_rules(loaded.settings.detect.rules)
    unwise = advice(loaded, lambda path: Path(path).is_file())
    for each in unwise:
        print(f"warning: {each}", file=sys.stderr)
    print(f"{arguments.file}: good" + (f", {len(unwise)} warning{'s'[: len(unwise) > 1]}" if unwise else ""))
    return 2 if unwise and arguments.strict else 0


def _init(arguments: argparse.Namespace) -> int:
    text = (files("otel_ext") / "starters" / f"{arguments.place}.yaml").read_text(encoding="utf-8")
    if arguments.output == "-":
        sys.stdout.write(text)
        return 0
    try:
        with open(arguments.output, "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError([f"{arguments.output}: is there already; name another file with --output"]) from None
    print(f"{arguments.output}: written; set the variables it names, then: otel-ext check-config {arguments.output}")
    return 0


def _link(arguments: argparse.Namespace) -> int:
    from otel_ext.correlate import urls

    links = settings_from(arguments.config).links
    if not links.langfuse_url and not links.grafana_url:
        raise ConfigError(["links.langfuse_url and links.grafana_url: neither is set, so there is no page to print"])
    trace_id, langfuse_id = _pair_of(arguments.trace_id.strip(), links.store)
    pages = {"Langfuse": urls.fill(urls.langfuse_template(links), langfuse_id)}
    if trace_id:
        pages["Tempo"] = urls.fill(urls.tempo_template(links), trace_id)
    else:
        print(f"{langfuse_id} is not known to be another trace's id: there is no page in Tempo to print", file=sys.stderr)
    for name, url in pages.items():
        if url:
            print(f"{name}: {url}")
    return 0


def _pair_of(given: str, store: str) -> tuple[str, str]:
    """The ids of the trace in Tempo ("" where it is not known) and in Langfuse."""
    from otel_ext.linkstore import LinkStore

    lower = given.lower()
    is_otel = len(lower) == TRACE_ID_DIGITS and not lower.strip("0123456789abcdef")
    known = LinkStore(store) if store else None
    for each in (given, lower):
        if known is not None and (pair := known.find(each)):
            return pair
    return (lower, lower) if is_otel else ("", given)


def _doctor(arguments: argparse.Namespace) -> int:
    import asyncio
    import random
    import secrets

    from otel_ext.doctor import State, Surroundings, examine, told
    from otel_ext.exporters.base import Runtime

    runtime = Runtime(now_ns=time.time_ns, sleep=asyncio.sleep, random=random.random)
    around = Surroundings(trace_id=secrets.token_bytes(16), deadline_s=arguments.deadline, runtime=runtime)
    found = asyncio.run(examine(settings_from(arguments.config), around))
    print(told(found))
    return 1 if any(each.state is State.FAILED for each in found) else 0


def _show_price(arguments: argparse.Namespace) -> int:
    from otel_ext.pricecommands import show
    from otel_ext.pricelist import price_list

    lines = show(price_list(settings_from(arguments.config).prices), arguments.model, time.time_ns())
    print("\n".join(lines) if lines else f"{arguments.model}: no price is known; add one under prices.models")
    return 0 if lines else 1


def _push_prices(arguments: argparse.Namespace) -> int:
    import asyncio

    from otel_ext.pricecommands import Target, push

    settings = settings_from(arguments.config)
    target = Target.of(settings.exporters.langfuse, arguments.host, arguments.public_key, arguments.secret_key, os.environ)
    return asyncio.run(push(settings, target, arguments.match, sys.stdout, time.time_ns(), really=arguments.yes))


def _version(_arguments: argparse.Namespace) -> int:
    from otel_ext.wire import NATIVE

    print(f"otel-ext {__version__}\ncodec    {'native' if NATIVE else 'python'}")
    for name, what in OPTIONAL_PARTS.items():
        print(f"{name:8} {'present' if importlib.util.find_spec(name) else 'absent'} ({what})")
    return 0
