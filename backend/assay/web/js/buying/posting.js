// The way from a draft to a request on chain: its items uploaded, its specification drafted, its posting signed. Each
// step can be done again: what the market has is not sent again, and one draft is posted once.
import { units } from "../actions.js";
import { requestAddress } from "../address.js";
import { Problem } from "../api.js";
import { build, specHash, Wrong } from "./order.js";

const AT_ONCE = 4; // uploads
const PATIENCE = 600_000; // ms
const SLACK = 300; // seconds by which the market's clock may differ from what the page read a moment before
const LASTING = 150_000; // ms for which a transaction that was sent may still land

// Uploads what the market does not have yet. Goes on where an item is refused; throws `Wrong` with those.
export const upload = async ({ api }, draft, { signal, progress }) => {
  const waiting = draft.items.filter(({ cid }) => cid === null);
  const wrong = [];
  let done = draft.items.length - waiting.length;
  const worker = async () => {
    for (let item = waiting.shift(); item !== undefined; item = waiting.shift()) {
      progress(done, draft.items.length);
      try {
        const kept = await api.post("/v1/items", item.blob, { signal, patience: PATIENCE });
        await draft.uploaded(item, kept.cid);
        done += 1;
      } catch (error) {
        const own = error instanceof Problem && ["bad_media", "unsupported_media", "too_large"].includes(error.code);
        if (!own && error.status !== 413) {
          waiting.length = 0;
          throw error;
        }
        wrong.push(["items", `${item.name}: ${error.message}`]);
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: AT_ONCE }, worker));
  progress(done, draft.items.length);
  const failed = ends.find(({ status }) => status === "rejected");
  if (failed !== undefined) throw failed.reason;
  if (wrong.length) throw new Wrong(wrong);
};

// The address of what was sent of this draft before, where it is on chain; else null.
export const landed = async ({ api }, draft, { signal }) => {
  if (!draft.last?.sent) return null;
  try {
    const { request } = await api.get(`/v1/requests/${draft.last.address}`, { signal });
    return request.state === "draft" ? null : draft.last.address;
  } catch (error) {
    if (error instanceof Problem && error.status === 404) return null;
    throw error;
  }
};

const newId = () => {
  const [high, low] = crypto.getRandomValues(new Uint32Array(2));
  return (high & 0x1fffff) * 2 ** 32 + low;
};

// What the order is drafted as: as before, where it was sent then, so that it cannot be posted twice.
const drafting = async (draft, { terms, deadline, wallet, program }) => {
  const { last } = draft;
  const same = last?.terms === terms;
  if (same && (last.sent || deadline - last.deadline < SLACK)) return last; // the market keeps an id's first deadline
  const left = (last?.sent ?? 0) + LASTING - Date.now();
  if (!same && left > 0) {
    throw new Error("What you signed of this form before may still land, and the form has changed since. Post it as it "
      + `was, or wait ${Math.ceil(left / 1000)} seconds.`);
  }
  const id = newId();
  return { id, address: await requestAddress(wallet, id, program), terms, deadline, sent: null };
};

// Posts the draft for the quoted `total`; the request's address, or null where its owner would rather not sign.
export const post = async (market, draft, { total, signal, progress }) => {
  const before = await landed(market, draft, { signal });
  if (before !== null) return before;
  await draft.save(); // or it is another tab's by now
  const { mints } = await market.terms({ signal });
  await build(draft.fields, draft.items, { mints }); // what is wrong is said before anything is uploaded
  try {
    return await once(market, draft, { total, signal, progress });
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    if (/^spec\.items\[\d+\]\.cid$/.test(error.field ?? "")) await draft.forgetUploads(); // dropped, after a day
    else if (error.code !== "already_done" || draft.last?.sent) throw error; // else another draft has its id
    return once(market, draft, { total, signal, progress });
  }
};

const once = async (market, draft, { total, signal, progress }) => {
  await upload(market, draft, { signal, progress });
  const { now, program, mints } = await market.terms({ signal });
  const made = await build(draft.fields, draft.items, { mints });
  const hash = await specHash(made);
  const { price, validation_fee: fee, seconds, min_tier: tier } = made.order;
  const terms = JSON.stringify([hash, total, price, fee, seconds, tier, made.mint.mint]);
  const deadline = now + seconds;
  const drafted = await drafting(draft, { terms, deadline, wallet: market.wallet.address, program });
  const { id, address } = drafted;
  const wanted = {
    ...made.wanted, id, spec_hash: hash, amount: units(total, made.mint.decimals),
    deadline: drafted.deadline - SLACK, until: deadline + SLACK,
  };
  const keep = async (sent) => {
    draft.last = { ...drafted, sent };
    await draft.save();
  };
  const order = { ...made.order, id, budget: total };
  const options = { signal, sending: () => keep(Date.now()) };
  try {
    if (await market.transact("/v1/requests", order, { post_request: wanted }, options)) return address;
    await keep(drafted.sent);
    return null;
  } catch (error) {
    if (!draft.last?.sent) draft.last = null; // not to be met again, whatever was wrong with it
    throw error;
  }
};
