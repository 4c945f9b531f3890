"""`cmdclf serve`: the BentoML service around a model folder."""

from __future__ import annotations

import argparse
import ipaddress
import os
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `cmdclf serve`."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=3000, help="port (default 3000)")
    parser.add_argument("--model", metavar="DIR", help="model folder (default: CMDCLF_MODEL, ./model, the bundled one)")


def run(args: argparse.Namespace) -> int:
    """Verify the model, then hand over to `bentoml serve`; listens on other hosts only with a bearer token."""
    from importlib.util import find_spec

    from cmdclf.classify import default_model_dir, verify_model
    from cmdclf.errors import CmdclfError, MissingExtraError
    from cmdclf.resources import service_path

    if find_spec("bentoml") is None:
        raise MissingExtraError("service", "cmdclf serve")
    if not _is_loopback(args.host) and not os.environ.get("CMDCLF_TOKEN"):
        raise CmdclfError(
            f"without a bearer token the service listens on this machine only, not on {args.host}",
            remedy="Set the environment variable CMDCLF_TOKEN to a long random text, or use --host 127.0.0.1",
        )
    model = Path(args.model) if args.model else default_model_dir()
    verify_model(model)
    service = service_path()
    environment = os.environ | {
        "CMDCLF_MODEL": str(model.resolve()),
        "CMDCLF_HOST": args.host,
        # No usage events to the vendor, no spans that nobody collects.
        "BENTOML_DO_NOT_TRACK": "True",
        "OTEL_SDK_DISABLED": os.environ.get("OTEL_SDK_DISABLED", "true"),
        "PYTHONPATH": os.pathsep.join([str(service.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    target = f"{service.name}.app:CmdClf"
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", args.host, "--port", str(args.port)]
    # exec: signals of a supervisor reach BentoML itself, which finishes the requests in flight.
    os.execve(command[0], [*command, "--working-dir", str(service.parent)], environment)  # noqa: S606


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
