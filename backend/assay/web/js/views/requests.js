// The market's terms, and its requests, each with what the chain's books say of it.
import { button, list, make, table } from "../dom.js";
import { problem } from "../notices.js";
import { poll } from "../poll.js";

const EVERY = 5000;
const PAGE = 20;

const row = ({ request, chain, answers }) => [
  make("a", { href: `#/requests/${request.address}` }, request.title),
  request.state,
  chain ? `${chain.records_done} of ${request.records}` : String(request.records),
  request.price,
  String(answers),
  chain ? `${chain.paid_labelers} of ${chain.locked}` : "–",
];

export const requests = async (market, main, { signal }) => {
  const terms = make("div");
  const found = make("div");
  const mine = make("input", { type: "checkbox", id: "mine" });
  let shown = PAGE;
  let more = false;
  const look = async () => {
    const own = mine.checked && market.wallet !== null ? `&buyer=${market.wallet.address}` : "";
    const { requests: listed } = await market.api.get(`/v1/requests?limit=${shown}${own}`, { signal });
    const all = await Promise.all(listed.map((one) => market.api.get(`/v1/requests/${one.address}`, { signal })));
    more = listed.length === shown && shown < 200;
    older.hidden = !more;
    const focused = document.activeElement?.getAttribute("href");
    found.replaceChildren(all.length
      ? table("Requests", ["Request", "State", "Records", "Price", "Answers", "Paid"], all.map(row))
      : make("p", {}, "There are no requests yet."));
    if (focused) found.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus();
  };
  const older = button("Show more", async () => {
    shown = Math.min(shown + PAGE, 200);
    await look();
  }, { failed: problem });
  older.hidden = true;
  mine.addEventListener("change", () => look().catch(problem));
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, "Requests"),
    make("p", {}, make("a", { href: "#/post", class: "button" }, "Post a request")),
    market.wallet === null ? "" : make("p", {}, mine, " ", make("label", { for: "mine" }, "Only those of my wallet")),
    found, older, make("h3", {}, "This market"), terms);
  poll(signal, EVERY * 6, async () => {
    const now = await market.terms({ signal });
    terms.replaceChildren(list({
      Program: make("code", {}, now.program),
      Mints: now.mints.map(({ mint }) => mint).join(", "),
      "Least stake of a labeler": now.min_labeler_stake,
      "Least stake of a validator": now.min_validator_stake,
      Panel: `${now.panel_size} validators, quorum ${now.quorum_bps / 100} %, ${now.validators_online.length} online`,
      Paused: now.paused ? "yes" : "no",
    }));
  });
  return poll(signal, EVERY, look);
};
