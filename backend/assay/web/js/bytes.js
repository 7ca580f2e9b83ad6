// Bytes and their texts: hexadecimal, base64, base58, UTF-8; sha256.
const ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

export const utf8 = (text) => new TextEncoder().encode(text);

export const concat = (...parts) => {
  const out = new Uint8Array(parts.reduce((size, part) => size + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
};

export const equal = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

export const unhex = (text) => {
  if (!/^([0-9a-f]{2})*$/.test(text)) throw new Error(`no hexadecimal text: ${text}`);
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
};

export const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

export const unbase64 = (text) => Uint8Array.from(atob(text), (char) => char.charCodeAt(0));

export const base58 = (bytes) => {
  let number = bytes.length ? BigInt(`0x${hex(bytes)}`) : 0n;
  let text = "";
  for (; number > 0n; number /= 58n) text = ALPHABET[Number(number % 58n)] + text;
  const zeros = bytes.findIndex((byte) => byte !== 0);
  return "1".repeat(zeros < 0 ? bytes.length : zeros) + text;
};

// The bytes of a base58 text, which must be `size` of them.
export const unbase58 = (text, size = 32) => {
  let number = 0n;
  for (const char of text) {
    const digit = ALPHABET.indexOf(char);
    if (digit < 0) throw new Error(`no base58 text: ${text}`);
    number = number * 58n + BigInt(digit);
  }
  const digits = number.toString(16).padStart(2 * size, "0");
  const bytes = digits.length === 2 * size ? unhex(digits) : new Uint8Array();
  if (base58(bytes) !== text) throw new Error(`no base58 text of ${size} bytes: ${text}`);
  return bytes;
};

export const sha256 = async (bytes) => new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
