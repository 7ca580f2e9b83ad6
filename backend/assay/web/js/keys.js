// A wallet: an Ed25519 key of WebCrypto's making, kept in IndexedDB. The key can be taken out of it again, since a key
// that cannot leave the browser takes its money along when the profile is lost.
import { base58, concat, equal } from "./bytes.js";
import { database } from "./database.js";

const PKCS8 = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20); // RFC 8410
const USES = ["sign", "verify"];

const unbase64url = (text) =>
  Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (char) => char.charCodeAt(0));

// Why no wallet can be made here; null where one can.
export const obstacle = async () => {
  if (!window.isSecureContext) {
    return "Browsers make keys only on https:// pages and on this machine's own addresses (127.0.0.1, localhost). "
      + "Ask the operator for an https address.";
  }
  try {
    await crypto.subtle.generateKey("Ed25519", false, USES);
    return null;
  } catch {
    return "This browser cannot make Ed25519 keys. Chromium 137, Firefox 129 and Safari 17 and newer can.";
  }
};

const halves = async (key) => {
  const { d, x } = await crypto.subtle.exportKey("jwk", key);
  return { seed: unbase64url(d), point: unbase64url(x) };
};

const wallet = async (key, saved) => ({ address: base58((await halves(key)).point), key, saved });

// A new wallet {address, key, saved}; `saved`: whether its owner has the key file.
export const make = async () => wallet((await crypto.subtle.generateKey("Ed25519", true, USES)).privateKey, false);

// The wallet of a key file of the Solana CLI: JSON of 64 bytes, seed and public key.
export const read = async (text) => {
  let bytes;
  try {
    bytes = JSON.parse(text);
  } catch {
    throw new Error("The file is no JSON. A key file of the Solana CLI is a list of 64 numbers: [12,250,…].");
  }
  const fits = Array.isArray(bytes) && bytes.length === 64
    && bytes.every((one) => Number.isInteger(one) && one >= 0 && one <= 255);
  if (!fits) throw new Error("The file is no key file of the Solana CLI: a list of 64 numbers from 0 to 255.");
  const seed = Uint8Array.from(bytes.slice(0, 32));
  const key = await crypto.subtle.importKey("pkcs8", concat(PKCS8, seed), "Ed25519", true, ["sign"]);
  if (!equal((await halves(key)).point, Uint8Array.from(bytes.slice(32)))) {
    throw new Error("The file's two halves do not belong together: its public key is not that of its private key.");
  }
  return wallet(key, true);
};

// The key file's text.
export const write = async ({ key }) => {
  const { seed, point } = await halves(key);
  return JSON.stringify([...seed, ...point]);
};

export const sign = async ({ key }, bytes) => new Uint8Array(await crypto.subtle.sign("Ed25519", key, bytes));

const CURRENT = "current";
const wallets = database("assay", (opened) => opened.createObjectStore("wallets"));
const during = (mode, work) => wallets("wallets", mode, work);

export const load = async () => (await during("readonly", (store) => store.get(CURRENT))) ?? null;

// Keeps the wallet in place of the one before; asks the browser not to clear it when space runs out.
export const keep = async (one) => {
  await during("readwrite", (store) => store.put(one, CURRENT));
  navigator.storage?.persist?.().catch(() => {}); // some browsers ask their user; nothing waits for that
};

export const forget = () => during("readwrite", (store) => store.delete(CURRENT));
