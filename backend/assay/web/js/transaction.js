// Solana's version 0 transactions, as far as a wallet must read them: who signs, what is called with which accounts.
import { base58, concat } from "./bytes.js";

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }

  take(size) {
    if (this.at + size > this.bytes.length) throw new Error("The market's transaction is cut off.");
    this.at += size;
    return this.bytes.slice(this.at - size, this.at);
  }

  byte() {
    return this.take(1)[0];
  }

  // Solana's compact u16: seven bits a byte, least first.
  length() {
    let value = 0;
    for (let shift = 0; shift < 21; shift += 7) {
      const byte = this.byte();
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new Error("The market's transaction holds a length that is none.");
  }

  many(read) {
    return Array.from({ length: this.length() }, read);
  }
}

// {message, signers, keys, instructions: [{program, accounts, data}]}; throws on anything beyond one signer and plain
// accounts: lookup tables would hide which accounts are meant.
export const parse = (bytes) => {
  const outer = new Reader(bytes);
  const signatures = outer.many(() => outer.take(64)).length;
  const message = bytes.slice(outer.at);
  const reader = new Reader(message);
  if (reader.byte() !== 0x80) throw new Error("The market's transaction is not of version 0.");
  const signers = reader.byte();
  reader.take(2);
  const keys = reader.many(() => base58(reader.take(32)));
  reader.take(32); // the blockhash
  const key = (index) => {
    if (index >= keys.length) throw new Error("The market's transaction names an account that it does not hold.");
    return keys[index];
  };
  const instructions = reader.many(() => ({
    program: key(reader.byte()),
    accounts: reader.many(() => key(reader.byte())),
    data: reader.take(reader.length()),
  }));
  if (reader.length() !== 0) throw new Error("The market's transaction uses lookup tables, which hide accounts.");
  if (reader.at !== message.length) throw new Error("The market's transaction has bytes behind its end.");
  if (signers !== 1 || signatures !== 1) throw new Error("The market's transaction wants more signatures than one.");
  return { message, keys, instructions };
};

// The transaction of one signer with its signature (64 bytes) in place.
export const signed = (message, signature) => concat(Uint8Array.of(1), signature, message);
