"""The chain: codec, addresses, instructions, and one interface to the embedded chain and to any cluster."""
