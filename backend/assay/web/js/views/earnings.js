// What the wallet earned: by mint, by payment, by answer.
import { tokens } from "../actions.js";
import { button, list, make, short, table, when } from "../dom.js";
import { problem, say } from "../notices.js";
import { poll } from "../poll.js";
import { start } from "./start.js";

const EVERY = 3000;
const SHOWN = 50;

// An answer's value in few words.
const brief = ({ value }) => {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 59)}…` : text;
};

const verdict = ({ verdict: one, unpaid, confidence, batch }) => {
  if (one === null) return "undecided";
  return `${unpaid ? "right, not paid" : one ? "accepted" : "rejected"}${batch === null ? ", to be settled" : ""} (${confidence / 100} %)`;
};

// Why right answers are not paid: of each request among those shown, as the market's rules explain it.
const reasons = async (answers, get) => {
  const requests = [...new Set(answers.filter(({ unpaid }) => unpaid).map((one) => one.request))];
  const found = await Promise.all(requests.map((one) => get(`/v1/me/standing?request=${encodeURIComponent(one)}`)));
  return found.map(({ request: one }) => make("p", {}, short(one.request), ` ${one.text}`));
};

// Disputes a rejection: what it costs is in the question before anything is signed.
const disputing = (market, { answer }, signal) => button("Dispute", async () => {
  problem(null);
  const path = `/v1/answers/${answer}`;
  const { bond } = await market.api.get(`${path}/proof`, { signal });
  if (await market.transact(`${path}/dispute`, undefined, { open_dispute: { answer, bond } }, { signal })) {
    say("The dispute is open. A larger panel votes anew; what comes of it is owed to you, under Wallet.");
  }
}, { failed: problem });

// Batches of rejections alone name the wallet and pay it nothing.
const paying = (payments) => payments.filter(({ amount }) => amount > 0);

export const earnings = async (market, main, { signal }) => {
  if (market.wallet === null) return start(market, main);
  const terms = await market.terms({ signal });
  const sums = make("div", { id: "sums" });
  const paid = make("div", { id: "payments" });
  const given = make("div", { id: "answers" });
  const why = make("div", { id: "unpaid" });
  let told = 0;
  let shown = "";
  main.replaceChildren(make("h2", { tabindex: "-1" }, "Earnings"), sums, paid, given, why);
  return poll(signal, EVERY, async () => {
    const get = (path) => market.api.get(path, { signal });
    const [own, { payments }, { answers }] = await Promise.all([
      get("/v1/earnings"), get(`/v1/payments?limit=${SHOWN}`), get(`/v1/answers?limit=${SHOWN}`),
    ]);
    sums.replaceChildren(
      list({
        Answers: String(own.answers), Accepted: String(own.accepted),
        ...(own.unpaid ? { "Of these right, not paid": String(own.unpaid) } : {}), Rejected: String(own.rejected),
      }),
      ...own.balances.map((one) => list({
        Token: make("code", {}, one.mint),
        Paid: one.paid, "Due, its batch being settled": one.due, "Possible, if all is accepted": one.possible,
        "Owed on chain": one.owed,
      })));
    paid.replaceChildren(table("Last payments", ["When", "Tokens", "Request", "Transaction"], paying(payments).map((one) => [
      when(one.paid_at), `${tokens(BigInt(one.amount), terms.mints[one.mint_index].decimals)}${one.owed ? ", owed" : ""}`,
      short(one.request), short(one.signature),
    ])));
    const news = JSON.stringify(answers);
    if (news !== shown) { // else the keyboard's place in the table is kept
      shown = news;
      given.replaceChildren(table("Last answers", ["When", "Answer", "Verdict", "Request"], answers.map((one) => [
        when(one.submitted_at), brief(one.content),
        [verdict(one), one.state === "settled" && !one.verdict ? disputing(market, one, signal) : null],
        short(one.request),
      ])));
    }
    if (own.unpaid === told) return;
    told = own.unpaid;
    const found = await reasons(answers, get);
    why.replaceChildren(...(found.length ? [make("h3", {}, "Right, not paid"), ...found] : []));
  });
};
