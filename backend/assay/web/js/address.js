// Program-derived addresses, so that the page knows its own accounts without asking anybody.
import { base58, concat, sha256, unbase58, utf8 } from "./bytes.js";

export const SYSTEM = "11111111111111111111111111111111";
export const ASSOCIATED = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL";

const P = 2n ** 255n - 19n;
const D = 37095705934669439343138083508754565189542113879843219016388785533085940283555n;

const power = (base, exponent) => {
  let result = 1n;
  for (let b = base % P, e = exponent; e > 0n; e >>= 1n, b = (b * b) % P) if (e & 1n) result = (result * b) % P;
  return result;
};

// Whether 32 bytes are a point of Ed25519 (RFC 8032, section 5.1.3): x² = (y² − 1) / (d·y² + 1) has a root exactly when
// numerator times denominator is a square (Euler's criterion). Such an address has a private key, so no program owns it.
const onCurve = (bytes) => {
  let y = 0n;
  for (let i = 31; i >= 0; i -= 1) y = (y << 8n) | BigInt(i === 31 ? bytes[i] & 0x7f : bytes[i]);
  const square = (y * y) % P;
  const root = power((((square - 1n + P) % P) * ((D * square + 1n) % P)) % P, (P - 1n) / 2n);
  return root !== P - 1n;
};

// The canonical address of `seeds` (byte arrays) under a program (base58).
export const programAddress = async (seeds, program) => {
  for (let bump = 255; bump >= 0; bump -= 1) {
    const found = await sha256(
      concat(...seeds, Uint8Array.of(bump), unbase58(program), utf8("ProgramDerivedAddress")),
    );
    if (!onCurve(found)) return base58(found);
  }
  throw new Error("These seeds have no address.");
};

// A wallet's associated token account of a mint.
export const associated = (wallet, mint, tokenProgram) =>
  programAddress([unbase58(wallet), unbase58(tokenProgram), unbase58(mint)], ASSOCIATED);

export const participant = (wallet, program) => programAddress([utf8("participant"), unbase58(wallet)], program);

// A buyer's request of an id (a number or BigInt).
export const requestAddress = (buyer, id, program) => {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(id), true);
  return programAddress([utf8("request"), unbase58(buyer), bytes], program);
};
