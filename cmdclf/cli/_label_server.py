"""Arguments that name an OpenAI-compatible server, its model and its prices, and the judge made of them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmdclf.cli._messages import say

if TYPE_CHECKING:
    from cmdclf.labels import Judge, OpenAIJudge

__all__ = ["add_model", "add_prompt", "add_second", "add_server", "openai_judge", "show_spent", "two_judges"]

_Group = Any  # a parser, or a group of its arguments: argparse names no type for both


def add_model(group: _Group) -> None:
    """`--model` and how it is asked."""
    group.add_argument(
        "--model", help="which model answers, or has answered; the environment's CMDCLF_MODEL without it"
    )
    group.add_argument(
        "--api", choices=("chat", "responses"), default="chat",
        help="chat completions, which every server has (default), or the responses API",
    )  # fmt: skip
    group.add_argument("--effort", default="", help="reasoning effort, for models that know it")


def add_prompt(group: _Group) -> None:
    """`--prompt`."""
    group.add_argument(
        "--prompt",
        type=Path,
        metavar="FILE",
        help="other instructions: a file, or a version that 'prompts' lists",
    )


def add_prices(group: _Group) -> None:
    """Prices by which costs are counted."""
    group.add_argument("--price-in", type=float, default=0.0, metavar="USD", help="per million prompt tokens")
    group.add_argument("--price-out", type=float, default=0.0, metavar="USD", help="per million completion tokens")


def add_server(group: _Group) -> None:
    """Everything that `openai_judge` reads, the prompt apart."""
    add_model(group)
    group.add_argument("--base-url", metavar="URL", help="for instance http://127.0.0.1:8000/v1; OpenAI's without it")
    group.add_argument("--budget", type=float, metavar="USD", help="the most that this run may cost; needs the prices")
    add_prices(group)
    group.add_argument(
        "--price-cached", type=float, metavar="USD", help="per million prompt tokens out of the server's cache"
    )
    group.add_argument("--concurrency", type=int, default=8, metavar="N", help="requests at the same time (8)")
    group.add_argument("--retries", type=int, default=5, metavar="N", help="further attempts per line (5)")
    group.add_argument("--timeout", type=float, default=120.0, metavar="S", help="seconds for one attempt (120)")
    group.add_argument(
        "--max-tokens", type=int, default=4000, metavar="N", help="bound for one answer, reasoning included (4000)"
    )


def add_second(group: _Group) -> None:
    """A second judge, on the first one's server unless it has its own."""
    group.add_argument("--second-model", metavar="MODEL", help="ask this model too; where the two differ: unsure")
    group.add_argument("--second-prompt", type=Path, metavar="FILE", help="with these instructions")
    group.add_argument("--second-base-url", metavar="URL", help="at this server")
    group.add_argument(
        "--second-always", action="store_true", help="ask it about every line, not only about those called benign"
    )


def two_judges(args: argparse.Namespace, first: Judge) -> Judge:
    """`first` alone, or with the second judge that the arguments name.

    Raises:
        JudgeError: the second is the first once more.
    """
    from cmdclf.labels.second_judge import TwoJudges

    if not (args.second_model or args.second_prompt):
        return first
    second = openai_judge(
        args, args.second_prompt or args.prompt, model=args.second_model, base_url=args.second_base_url
    )
    return TwoJudges(first, second, always=args.second_always)


def openai_judge(
    args: argparse.Namespace, prompt: Path | None, *, model: str | None = None, base_url: str | None = None
) -> OpenAIJudge:
    """The judge of these arguments under this prompt, perhaps with another model or server."""
    from cmdclf.labels import OpenAIJudge
    from cmdclf.labels.prompt import Prompt

    return OpenAIJudge(
        model or args.model,
        base_url=base_url or args.base_url,
        api=args.api,
        effort=args.effort,
        prompt=Prompt(prompt),
        budget_usd=args.budget,
        usd_per_million_in=args.price_in,
        usd_per_million_out=args.price_out,
        usd_per_million_cached=args.price_cached,
        concurrency=args.concurrency,
        max_completion_tokens=args.max_tokens,
        max_retries=args.retries,
        timeout_s=args.timeout,
    )


def show_spent(judge: OpenAIJudge) -> None:
    """Print what the server said of the model, and the tokens that it counted in this run."""
    if "shuts it down" in judge.offer:
        say(f"  {judge.offer}")
    if judge.dialect.note:
        say(f"  {judge.dialect.note}")
    used = judge.usage
    if used.prompt_tokens or used.completion_tokens:
        say(
            f"  {used.prompt_tokens:,} prompt tokens ({used.cached_tokens:,} cached),"
            f" {used.completion_tokens:,} completion tokens ({used.reasoning_tokens:,} reasoning)"
        )
    if judge.pace.waited_s >= 1:
        say(f"  held back for {judge.pace.waited_s:,.0f} s in all, to stay below the server's rate limits")
