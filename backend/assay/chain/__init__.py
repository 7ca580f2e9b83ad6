"""The chain: codec, addresses, instructions, and one interface to the embedded chain and to any cluster."""

from assay.chain.base import Blockhash, Chain, ChainClock, Cursor, Event, Memcmp, Receipt, Simulation
from assay.chain.embedded import EmbeddedChain
from assay.chain.program import Program, load_program
from assay.chain.rpc import RpcChain

__all__ = [
    "Blockhash",
    "Chain",
    "ChainClock",
    "Cursor",
    "EmbeddedChain",
    "Event",
    "Memcmp",
    "Program",
    "Receipt",
    "RpcChain",
    "Simulation",
    "load_program",
]
