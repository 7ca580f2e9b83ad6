// Posting a request: the form, what it costs, and the way to its signature. What is entered stays in this browser.
import { tokens, units } from "../actions.js";
import { button, list, make } from "../dom.js";
import { Draft } from "../buying/draft.js";
import { goldRoot } from "../buying/gold.js";
import { build, formField, Wrong } from "../buying/order.js";
import { landed, post as send } from "../buying/posting.js";
import { Problem } from "../api.js";
import { confirm, problem, say } from "../notices.js";
import { poll } from "../poll.js";
import { becomeBuyer } from "./buyer.js";
import { funding } from "./funds.js";
import { itemsForm } from "./items.js";
import { orderForm } from "./order.js";
import { start } from "./start.js";

const SOON = 400; // ms after the last key until the form is kept and its price asked for
const EVERY = 5000;
const GIFT = 1000n; // tokens that the faucet gives at least

export const post = async (market, main, { signal, again }) => {
  if (market.wallet === null) return start(market, main);
  const [terms, participant] = await Promise.all([market.terms({ signal }), market.participant({ signal })]);
  if (participant?.role !== "buyer") return becomeBuyer(market, main, { terms, participant, signal, done: again });
  const draft = await Draft.open(market.wallet.address);
  const posted = await landed(market, draft, { signal });
  if (posted !== null) return finished(draft, posted);
  const quote = quoting(market, draft, terms, signal);
  const items = itemsForm(draft, {
    labels: async () => (await build(draft.fields, draft.items, terms)).labels, changed: () => changed(),
  });
  const form = orderForm(draft.fields, terms, () => changed());
  let timer;
  const changed = () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      draft.save().catch(problem);
      quote.look();
    }, SOON);
    items.show();
    elsewhere();
  };
  signal.addEventListener("abort", () => {
    clearTimeout(timer);
    draft.save().catch(() => {});
  }, { once: true });
  const complain = (problems) => {
    const left = form.complain(items.complain(problems));
    problem(left.length ? new Error(left.map(([, what]) => what).join(" ")) : null);
    say(problems[0][1]);
  };
  const bar = make("progress", { id: "uploaded", "aria-label": "Items uploaded", max: 1, value: 0, hidden: true });
  const progress = (done, all) => {
    bar.hidden = false;
    bar.max = all;
    bar.value = done;
    if (done % 10 === 0 || done === all) say(`${done} of ${all} items uploaded.`);
    items.show();
  };
  const submit = button("Post the request", async () => {
    uncomplain();
    try {
      const total = await quote.total();
      if (!await secured(draft, terms)) return;
      const address = await send(market, draft, { total, signal, progress });
      if (address === null) say("Nothing was signed. What you entered is kept.");
      else await finished(draft, address);
    } finally {
      items.show();
    }
  }, {
    class: "main",
    failed: (error) => {
      if (signal.aborted) return;
      if (error instanceof Wrong) complain(error.problems);
      else if (error instanceof Problem && formField(error.field, draft.fields.kind)) {
        complain([[formField(error.field, draft.fields.kind), error.message]]);
      } else problem(error);
    },
  });
  const uncomplain = () => {
    problem(null);
    form.complain([]);
    items.complain([]);
  };
  const discard = button("Discard all of it", async () => {
    const said = !draft.last?.sent ? "Nothing of it was posted." : "What you signed of it may still be posted: look under Requests.";
    if (!await confirm("Discard this form and its items?", [said], "Discard")) return;
    await draft.clear();
    await again();
  }, { failed: problem });
  const other = make("p", { class: "caution" }, "Requests of these kinds are posted with the Python client (assay.client, "
    + "docs/buyers.md): their answers need forms of their own.");
  const [doing, paying] = form.parts;
  const rest = make("div", {}, ...items.parts, paying, quote.element, make("div", { class: "row" }, submit, discard), bar);
  const elsewhere = () => {
    other.hidden = draft.fields.kind !== "other";
    rest.hidden = !other.hidden;
  };
  elsewhere();
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, "Post a request"),
    make("p", { class: "hint" }, "What you enter is kept in this browser until it is posted."),
    doing, other, rest);
  quote.look();
  return poll(signal, EVERY, quote.balance);
};

// Whether the known answers were saved as they are now, or are not to be.
const secured = async (draft, terms) => {
  const { labels } = await build(draft.fields, draft.items, terms);
  if (!labels.length || await goldRoot(labels) === draft.kept) return true;
  return confirm("Post without saving the known answers?", [
    "The market keeps them and their salts, to judge by, and publishes each when its task is settled.",
    "You can prove what you committed to with the file alone: once this is posted, this browser forgets them.",
  ], "Go on without the file");
};

// Forgets what is posted, and shows the request.
const finished = async (draft, address) => {
  await draft.clear();
  say("The request is posted.");
  location.hash = `#/requests/${address}`;
};

const plain = (amount) => `${amount} tokens`;

// What the request costs, kept up to date. {element, look, balance, total}.
const quoting = (market, draft, terms, signal) => {
  const sum = make("p", { id: "sum", role: "status" });
  const shown = make("div");
  const funds = make("p", { id: "funds" });
  let turn = 0;
  let found = null;
  let held = null;
  const mintNow = () => Math.max(0, terms.mints.findIndex(({ mint }) => mint === draft.fields.mint));
  const missing = () => {
    const { decimals } = terms.mints[mintNow()];
    return found === null || held === null ? 0n : units(found.total, decimals) - units(held[mintNow()], decimals);
  };
  const faucet = funding(market, terms, () => {
    const { decimals } = terms.mints[0];
    const least = GIFT * 10n ** BigInt(decimals);
    return tokens(missing() > least ? missing() : least, decimals);
  }, { signal, given: () => balance(), what: "the tokens that are missing" });
  const show = () => {
    funds.textContent = held === null ? "" : `This wallet has ${held[mintNow()]} tokens.`
      + (missing() > 0n ? ` ${tokens(missing(), terms.mints[mintNow()].decimals)} are missing.` : "");
    faucet.hidden = missing() <= 0n || mintNow() !== 0;
  };
  const balance = async () => {
    held = (await market.api.get("/v1/balance", { signal })).tokens;
    show();
  };
  const sayOnce = (text) => { // the same again is no news
    if (sum.textContent !== text) sum.textContent = text;
  };
  const ask = async () => {
    const { quote } = await build(draft.fields, draft.items, terms);
    return market.api.post("/v1/quote", quote, { auth: false, signal });
  };
  const look = async () => {
    const mine = turn += 1;
    try {
      const now = await ask();
      if (mine !== turn) return;
      found = now;
      sayOnce(`${plain(now.total)} are locked at the posting.`);
      shown.replaceChildren(list({
        "Of it for labelers": plain(now.labelers), "For validators": plain(now.validators), "The market's fee": plain(now.fee),
        ...(now.reserve === "0" ? {} : { "For rejected answers asked anew": plain(now.reserve) }),
        ...(now.least === now.total ? {} : { "If no task asks for more": plain(now.least) }),
        Records: String(now.records), "Answers, at most": String(now.answers),
      }), make("p", { class: "hint" }, "It is the most that it can cost; what is not earned comes back."));
    } catch (error) {
      if (signal.aborted || mine !== turn) return;
      found = null;
      shown.replaceChildren();
      sayOnce(error instanceof Wrong ? "The price stands here once the fields above are filled in." : `No price yet: ${error.message}`);
    }
    show();
  };
  return {
    element: make("section", { class: "part", "aria-labelledby": "cost" }, make("h3", { id: "cost" }, "What it costs"),
      make("div", { id: "quote" }, sum, shown), funds, faucet),
    look,
    balance,
    // What is to be locked, as it is shown; asked for anew. Throws what is wrong with the form.
    total: async () => {
      found = await ask();
      await balance();
      if (missing() > 0n) throw new Error(`${tokens(missing(), terms.mints[mintNow()].decimals)} tokens are missing to lock ${found.total}.`);
      return found.total;
    },
  };
};
