// The page: which view the address names, and what stands above all of them.
import { button, make, short } from "./dom.js";
import { Market } from "./market.js";
import { problem, say } from "./notices.js";
import { poll } from "./poll.js";
import { earnings } from "./views/earnings.js";
import { label } from "./views/label.js";
import { post } from "./views/post.js";
import { request } from "./views/request.js";
import { requests } from "./views/requests.js";
import { task } from "./views/task.js";
import { wallet } from "./views/wallet.js";

const VIEWS = [
  [/^#?\/?$/, label, "Work"],
  [/^#\/label\/([1-9A-HJ-NP-Za-km-z]{32,44})$/, task, "Labeling"],
  [/^#\/earnings$/, earnings, "Earnings"],
  [/^#\/wallet$/, wallet, "Wallet"],
  [/^#\/post$/, post, "Post a request"],
  [/^#\/requests$/, requests, "Requests"],
  [/^#\/requests\/([1-9A-HJ-NP-Za-km-z]{32,44})$/, request, "Request"],
];
const BUSY = 2000; // ms between looks at the earnings while a verdict may come at any moment, and else
const CALM = 10_000;
const SOON = 60_000; // ms after an answer or a payment for which that is so

const main = document.querySelector("main");
const market = new Market();
let leave = new AbortController();

// Moves the keyboard, and what a screen reader reads, to the heading of the view once it stands.
const focusHeading = (signal) => {
  const seen = new MutationObserver(() => {
    const heading = main.querySelector("h2");
    if (heading === null) return;
    seen.disconnect();
    if (!main.contains(document.activeElement)) heading.focus();
  });
  seen.observe(main, { childList: true });
  signal.addEventListener("abort", () => seen.disconnect(), { once: true });
};

const show = async () => {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  problem(null);
  const [pattern, view, title] = VIEWS.find(([one]) => one.test(location.hash)) ?? VIEWS[0];
  const [, address] = location.hash.match(pattern) ?? [];
  document.title = `${title} – Assay`;
  for (const link of document.querySelectorAll("nav a")) {
    const here = link.getAttribute("href") === (location.hash || "#/");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren(make("p", {}, "Loading…"));
  focusHeading(signal);
  try {
    await view(market, main, { signal, address, again: show });
  } catch (error) {
    if (signal.aborted) return;
    problem(error);
    main.append(button("Try again", show, { class: "main" }));
  }
};

// What the wallet has been paid, above every view; a payment that arrives is said.
const chip = document.getElementById("wallet");
let watching = new AbortController();

const watch = () => {
  watching.abort();
  watching = new AbortController();
  const { signal } = watching;
  chip.replaceChildren();
  if (market.wallet === null) return;
  const sum = make("span", { id: "paid" });
  const unsaved = market.wallet.saved ? null : make("a", { href: "#/wallet", class: "unsaved" }, "key file not saved");
  chip.replaceChildren(make("a", { href: "#/wallet" }, short(market.wallet.address)), " ", sum, unsaved ?? "");
  let before = null;
  let stirred = Date.now();
  let hurry = () => {};
  market.addEventListener("answered", () => {
    stirred = Date.now();
    hurry();
  }, { signal });
  poll(signal, CALM, async () => {
    const { balances, answers } = await market.api.get("/v1/earnings", { signal });
    const now = balances.map(({ paid }) => paid).join(" + ");
    sum.textContent = answers ? `${now} tokens paid ` : "";
    if (before !== null && before !== now) {
      stirred = Date.now();
      say(`Paid: ${now} tokens in all.`);
    }
    before = now;
    const open = balances.some(({ possible, due }) => possible !== "0" || due !== "0");
    if (open && Date.now() - stirred < SOON) return BUSY;
    await new Promise((resolve) => { // an answer given ends the wait
      hurry = resolve;
      setTimeout(resolve, CALM);
      signal.addEventListener("abort", resolve, { once: true });
    });
    return 0;
  });
};

window.addEventListener("hashchange", show);
market.addEventListener("wallet", () => {
  watch();
  show();
});
try {
  await market.open();
} catch (error) {
  // No IndexedDB (a private window of some browsers): what needs no wallet still works.
  console.error(error);
  market.use(null);
}
