// One request: how far it is, what it paid, and what its buyer can do with it; follows the market's live events.
import { pause } from "../api.js";
import { button, download, list, make, when } from "../dom.js";
import { outage, problem } from "../notices.js";
import { estimates } from "./estimate.js";
import { owning } from "./owner.js";
import { start } from "./start.js";

const FORMS = { jsonl: "JSON Lines", csv: "CSV", parquet: "Parquet" };
const AGAIN = 3000; // ms before the events are asked for again

const overlap = (request) => request.confidence_bps === null
  ? `${request.overlap} answers a task`
  : `${request.first_overlap} answers a task, and one more at a time, up to ${request.overlap}, while its label's `
    + `confidence is below ${request.confidence_bps / 100} %`;

const rows = ({ request, chain, ...now }) => ({
  State: request.state,
  Answers: `${now.answers}: ${now.accepted} accepted${now.unpaid ? ` (${now.unpaid} not paid)` : ""}, ${now.rejected} rejected, ${now.undecided} undecided`,
  "In work now": String(now.leases),
  ...(now.tasks_waiting ? { "Waiting for money": `${now.tasks_waiting} tasks, until a top-up or until reserves end` } : {}),
  ...(chain === null ? {} : {
    Locked: `${chain.locked} tokens`,
    "Paid to labelers": chain.paid_labelers,
    "Paid to validators": chain.paid_validators,
    Fees: chain.fees,
    "Kept for disputes": chain.reserved,
    "Would come back at a close": chain.refundable,
    "Settled batches": String(chain.next_batch),
  }),
  Price: `${request.price} an accepted answer, ${request.validation_fee} a record for its validators`,
  Mode: `${request.mode}, ${overlap(request)}`,
  Deadline: when(new Date(request.deadline * 1000).toISOString()),
  Buyer: make("code", {}, request.buyer),
  Address: make("code", {}, request.address),
  "Specification's sha256": make("code", {}, now.spec_hash),
});

export const request = async (market, main, { signal, address }) => {
  const { api } = market;
  const path = `/v1/requests/${encodeURIComponent(address)}`;
  const first = await api.get(path, { signal });
  const bar = make("progress", { id: "done", "aria-label": "Records done", max: first.request.records, value: 0 });
  const done = make("output", { for: "done", id: "records" });
  const facts = make("div");
  const own = market.wallet?.address === first.request.buyer;
  const agreement = make("p");
  const live = make("div", { id: "estimate" });
  const estimate = own ? estimates(api, path, live, signal) : () => {};
  const owner = own ? owning(market, path, address, { signal, done: async () => show(await api.get(path, { signal })) }) : null;
  let compared = 0;
  const show = (now) => {
    const records = now.chain?.records_done ?? 0;
    if (own && records !== compared) {
      compared = records;
      compare(api, path, agreement, signal).catch(problem);
    }
    estimate(now);
    owner?.show(now);
    bar.value = records;
    done.textContent = `${records} of ${now.request.records} records done`;
    facts.replaceChildren(list(rows(now)));
  };
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, first.request.title), make("p", {}, bar, " ", done), facts, live,
    make("h3", {}, "Data set"), agreement, own ? downloads(api, path, signal) : bring(market),
    owner?.element ?? "");
  show(first);
  await follow(`${path}/events`, { api, path, signal, show });
};

// How far the raters agree, for the buyer.
const compare = async (api, path, place, signal) => {
  const found = await api.get(`${path}/agreement?limit=0`, { signal });
  const names = { krippendorff_alpha: "Krippendorff's α", fleiss_kappa: "Fleiss' κ", observed_agreement: "observed" };
  const known = Object.entries(names).filter(([field]) => found[field] !== null);
  place.textContent = known.length
    ? `The ${found.raters} agree: ${known.map(([field, name]) => `${name} ${found[field].toFixed(2)}`).join(", ")}, `
      + `over ${found.ratings} ratings.`
    : "";
};

const downloads = (api, path, signal) => make("div", { class: "row" },
  ...Object.entries(FORMS).map(([form, name]) => button(`Download ${name}`, async () => {
    problem(null);
    const response = await api.get(`${path}/dataset?format=${form}`, { raw: true, signal });
    const [, file] = response.headers.get("Content-Disposition").match(/filename="([^"]+)"/);
    download(await response.blob(), file);
  }, { failed: problem })));

// The data set is its buyer's; who has the buyer's key may bring it.
const bring = (market) => {
  const place = make("p", {}, "The finished records are their buyer's to download, signed in with the buyer's wallet. ");
  const own = market.wallet === null ? button("Use a wallet", () => start(market, place)) : make("a", { href: "#/wallet" }, "Use another wallet");
  place.append(own);
  return place;
};

// Server-sent events until the request is closed or the view is left. A browser tries again by itself while nobody
// answers; after an answer that is no stream it does not, so that is looked into here.
const follow = async (url, { api, path, signal, show }) => {
  while (!signal.aborted) {
    const closed = await new Promise((resolve) => {
      const source = new EventSource(url);
      const end = (how) => {
        source.close();
        resolve(how);
      };
      source.addEventListener("progress", (event) => show(JSON.parse(event.data)));
      source.addEventListener("closed", () => end(true));
      source.addEventListener("open", () => outage(false));
      source.addEventListener("error", () => end(false));
      signal.addEventListener("abort", () => end(true), { once: true });
    });
    if (closed) return;
    await pause(AGAIN, signal);
    show(await api.get(path, { signal, patience: Infinity })); // says so while the market is away
  }
};
