"""`cmdclf serve`: the BentoML service around a model folder."""

from __future__ import annotations

import argparse
import ipaddress
import os
import socket
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `cmdclf serve`."""
    parser.add_argument("--host", default="127.0.0.1", help="IP address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, default=3000, help="port (default 3000)")
    parser.add_argument("--model", metavar="DIR", help="model folder (default: CMDCLF_MODEL, ./model, the bundled one)")
    parser.epilog = (
        "Without the environment variable CMDCLF_TOKEN (a bearer token) only clients on this machine are served."
    )


def run(args: argparse.Namespace) -> int:
    """Verify the model, then become `bentoml serve`; listens beyond this machine only with a bearer token."""
    from importlib.util import find_spec

    from cmdclf.classify import default_model_dir, verify_model
    from cmdclf.errors import MissingExtraError

    if find_spec("bentoml") is None:
        raise MissingExtraError("service", "cmdclf serve")
    host = _address(args.host)
    _check_port(host, args.port)
    model = Path(args.model) if args.model else default_model_dir()
    verify_model(model)
    target, root = _target()
    environment = os.environ | {
        "CMDCLF_MODEL": str(model.resolve()),
        # No usage events to the vendor, no spans that nobody collects.
        "BENTOML_DO_NOT_TRACK": "True",
        "OTEL_SDK_DISABLED": os.environ.get("OTEL_SDK_DISABLED", "true"),
    }
    command = [sys.executable, "-m", "bentoml", "serve", target, "--host", host, "--port", str(args.port)]
    # exec: signals of a supervisor reach BentoML itself, which finishes the requests in flight.
    os.execve(command[0], [*command, "--working-dir", str(root)], environment)  # noqa: S606


def _target() -> tuple[str, Path]:
    """The service as BentoML names it, and the folder from which that name can be imported.

    BentoML puts that folder on the import path, so it must never be `cmdclf/` itself: rooms like `select` would hide
    the standard library's modules.
    """
    from cmdclf.resources import service_path

    folder = service_path()
    if folder.parent.name == "cmdclf" and (folder.parent / "__init__.py").is_file():
        return f"cmdclf.{folder.name}.app:CmdClf", folder.parent.parent
    return f"{folder.name}.app:CmdClf", folder.parent


def _address(host: str) -> str:
    from cmdclf.errors import CmdclfError

    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise CmdclfError(
            f"--host is {host!r}, which is no IP address", remedy="Give one, for instance 127.0.0.1 or 0.0.0.0"
        ) from None
    if not address.is_loopback and not os.environ.get("CMDCLF_TOKEN", "").strip():
        raise CmdclfError(
            f"without a bearer token the service listens on this machine only, not on {host}",
            remedy="Set the environment variable CMDCLF_TOKEN to a long random text, or use --host 127.0.0.1",
        )
    return str(address)


def _check_port(host: str, port: int) -> None:
    """Fail here, with one sentence, where BentoML's supervisor would only log and go on."""
    from cmdclf.errors import CmdclfError

    remedy = "Give another with --port"
    if not 1 <= port <= 65535:
        raise CmdclfError(f"--port is {port}, ports go from 1 to 65535", remedy=remedy)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise CmdclfError(f"can't listen on {host} port {port}: {error.strerror}", remedy=remedy) from error
