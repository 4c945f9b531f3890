"""The proof of the method: controlled comparisons over rotations of held-out sources, and the document made of them."""

from __future__ import annotations

from cmdclf.proof.document import write_document
from cmdclf.proof.runner import prove
from cmdclf.proof.settings import ProofSettings

__all__ = ["ProofSettings", "prove", "write_document"]
