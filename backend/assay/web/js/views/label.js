// What there is to label.
import { make } from "../dom.js";
import { canAnswer, KINDS } from "../kinds/index.js";
import { poll } from "../poll.js";
import { join, mayLabel } from "./join.js";
import { start } from "./start.js";

const EVERY = 5000;

export const label = async (market, main, { signal, again }) => {
  if (market.wallet === null) return start(market, main);
  const [terms, participant] = await Promise.all([market.terms({ signal }), market.participant({ signal })]);
  if (!mayLabel(terms, participant)) return join(market, main, { terms, participant, signal, done: again });
  const found = make("ul", { class: "cards" });
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, "Work"),
    make("p", {}, "Tasks are handed out by lot. An accepted answer is paid when its verdict is settled."), found);
  const known = new Map();
  return poll(signal, EVERY, async () => {
    const { requests } = await market.api.get("/v1/requests?state=open&limit=50", { signal });
    const open = requests.filter((one) => one.buyer !== market.wallet.address && one.min_tier <= participant.tier);
    const cards = open.map((one) => {
      if (!known.has(one.address)) known.set(one.address, card(one)); // kept, so that the keyboard's place is kept
      return known.get(one.address);
    });
    const same = cards.length === found.children.length && cards.every((one, i) => one === found.children[i]);
    if (!same) found.replaceChildren(...cards);
    if (!cards.length) found.replaceChildren(make("li", {}, "No request is open for you now. This page keeps looking."));
  });
};

const card = (request) => make("li", { class: "card" },
  make("h3", {}, request.title),
  make("p", {}, `${request.price} tokens an accepted answer · ${KINDS[request.kind]} · ${request.mode}`
    + (request.min_score_bps ? ` · for a score of ${request.min_score_bps / 100} % and more` : "")),
  canAnswer(request.kind)
    ? make("a", { href: `#/label/${request.address}`, class: "button main" }, "Label")
    : make("p", { class: "hint" }, "This kind is answered with the Python client (assay.client, docs/labelers.md)."));
