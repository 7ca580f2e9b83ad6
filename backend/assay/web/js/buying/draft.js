// What a buyer has entered, kept in this browser until it is posted: a reload, a crash or a market that is away loses
// nothing. One form and its items a wallet.
import { hex } from "../bytes.js";
import { database } from "../database.js";
import { blank } from "./order.js";

const stores = database("assay-buyer", (opened) => {
  opened.createObjectStore("forms");
  opened.createObjectStore("items");
});

// An item is {place, name, hash, media_type, blob, cid, known, salt}: `hash` of its bytes; `cid` once the market has
// it; `known` and `salt` where its answer is known. `place` only orders.
export class Draft {
  // Takes the draft of a wallet up, in this page: another page that has it open can no longer save or post it.
  static async open(wallet) {
    const draft = new Draft();
    draft.wallet = wallet;
    draft.owner = hex(crypto.getRandomValues(new Uint8Array(16)));
    const kept = await stores("forms", "readonly", (store) => store.get(wallet));
    Object.assign(draft, { fields: { ...blank(), ...kept?.fields }, last: kept?.last ?? null, kept: kept?.kept ?? null });
    draft.items = await stores("items", "readonly", (store) => store.getAll(draft.range()));
    await stores("forms", "readwrite", (store) => store.put(draft.record(), wallet));
    return draft;
  }

  range() {
    return IDBKeyRange.bound([this.wallet], [this.wallet, []]);
  }

  record() {
    return { owner: this.owner, fields: this.fields, last: this.last, kept: this.kept };
  }

  // Keeps the form. `last`: how it was drafted last, {id, address, terms, deadline, sent}, `sent` being when what was
  // signed of it was sent (ms), or null; `kept`: the root over the known answers that were
  // saved as a file, or null. Throws where another page has taken it up.
  async save() {
    const kept = await stores("forms", "readwrite", (store) => {
      const request = store.get(this.wallet);
      request.onsuccess = () => {
        if (request.result?.owner === this.owner) store.put(this.record(), this.wallet);
      };
      return request;
    });
    if (kept?.owner !== this.owner) throw new Error("This form was opened in another tab. Go on there, or reload this one.");
  }

  // Keeps items, new or changed.
  async put(items) {
    await this.save();
    await stores("items", "readwrite", (store) => {
      for (const item of items) store.put(item, [this.wallet, item.place]);
    });
  }

  // Keeps that the market has an item, unless it was removed meanwhile. What a power cut loses of it is uploaded again.
  async uploaded(item, cid) {
    item.cid = cid;
    const key = [this.wallet, item.place];
    await stores("items", "readwrite", (store) => {
      const request = store.getKey(key);
      request.onsuccess = () => {
        if (request.result !== undefined) store.put(item, key);
      };
      return request;
    }, "relaxed");
  }

  // Takes it that the market has none of the items any more.
  async forgetUploads() {
    for (const item of this.items) item.cid = null;
    await this.put(this.items);
  }

  // Adds items {name, hash, media_type, blob} that are not there yet; how many were there already.
  async add(items) {
    const there = new Set(this.items.map(({ hash }) => hash));
    const fresh = items.filter(({ hash }) => !there.has(hash) && there.add(hash));
    let place = this.items.at(-1)?.place ?? 0;
    const added = fresh.map((item) => ({ ...item, place: (place += 1), cid: null, known: "", salt: "" }));
    await this.put(added);
    const from = IDBKeyRange.bound([this.wallet, added[0]?.place ?? place + 1], [this.wallet, []]);
    this.items.push(...await stores("items", "readonly", (store) => store.getAll(from))); // no longer the files on disk
    return items.length - fresh.length;
  }

  async remove(items) {
    await this.save();
    await stores("items", "readwrite", (store) => {
      for (const { place } of items) store.delete([this.wallet, place]);
    });
    this.items = this.items.filter((one) => !items.includes(one));
  }

  // Forgets all of it.
  async clear() {
    await this.save();
    await stores("items", "readwrite", (store) => store.delete(this.range()));
    await stores("forms", "readwrite", (store) => store.delete(this.wallet));
  }
}
