// Working on one request: a task, its form, the time that its lease has left, and what became of the answer.
import { passing, pause, Problem } from "../api.js";
import { base58 } from "../bytes.js";
import { button, make } from "../dom.js";
import { sign } from "../keys.js";
import { FORMS } from "../kinds/index.js";
import { answerMessage } from "../messages.js";
import { problem, say } from "../notices.js";
import { poll } from "../poll.js";
import { leaseClock } from "./clock.js";
import { showItem } from "./item.js";
import { start } from "./start.js";

const LOOK = 3000; // ms between looks for new tasks at first
const SLOWEST = 15_000; // and at last
const LOOKS = 200; // how many before it is asked whether anybody is there
const OVER = new Set(["lease_lost", "gone", "already_done", "not_found"]);

export const task = async (market, main, { signal, address }) => {
  if (market.wallet === null) return start(market, main);
  const { api } = market;
  const path = `/v1/requests/${encodeURIComponent(address)}`;
  const [{ request }, spec] = await Promise.all([api.get(path, { signal }), api.get(`${path}/spec`, { signal })]);
  const desk = make("div");
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, request.title),
    make("p", { class: "hint" }, `${request.price} tokens an accepted answer · ${request.mode}`),
    make("section", { "aria-label": "Instructions", class: "instructions" }, spec.instructions), desk,
    make("p", {}, make("a", { href: "#/" }, "Stop labeling this"), " (the task in hand goes back when its lease ends)"));
  if (!(spec.kind in FORMS)) {
    desk.replaceChildren(make("p", { class: "caution" },
      `Answers of the kind ${spec.kind} are given with the Python client: assay.client, see docs/labelers.md. `
      + `Here one can answer: ${Object.keys(FORMS).join(", ")}.`));
    return;
  }
  // One task at a time: what is held back lapses when the page is left, and lapses count as skips do.
  let lease = await held(market, { signal, address });
  for (; !signal.aborted; lease = null) {
    lease ??= await next(market, desk, { signal, address });
    const outcome = await work(market, desk, { signal, lease, spec });
    if (outcome) say(outcome);
  }
};

// A task of this request that is in hand from before, or null.
const held = async ({ api }, { signal, address }) =>
  (await api.get("/v1/work", { signal })).tasks.find((lease) => lease.request === address) ?? null;

// A new task, or null where there is none now. Where the answer to a claim was lost, the task may be in hand already.
const claim = async (market, { signal, address }) => {
  try {
    const body = { limit: 1, request: address };
    return (await market.api.post("/v1/claims", body, { signal, patience: 0 })).tasks[0] ?? null;
  } catch (error) {
    if (!passing(error)) throw error;
    return held(market, { signal, address });
  }
};

// The next task; waits for one where there is none.
const next = async (market, desk, { signal, address }) => {
  for (let look = 0; ; look += 1) {
    const lease = await claim(market, { signal, address });
    if (lease !== null) return lease;
    if (look % LOOKS === 0) await nothing(desk, signal, { ask: look > 0 });
    await pause(Math.min(LOOK * 1.1 ** (look % LOOKS), SLOWEST), signal);
  }
};

// Says that there is nothing to do; with `ask`, waits until somebody wants to look again.
const nothing = (desk, signal, { ask }) => new Promise((resolve, reject) => {
  const heading = make("h3", { tabindex: "-1" }, "There is nothing to do here now");
  const why = make("p", {}, "You have answered all you can of this request, or others hold the rest. ",
    ask ? "" : "This page keeps looking.");
  desk.replaceChildren(heading, why, ...(ask ? [button("Look again", resolve, { class: "main" })] : []));
  heading.focus();
  if (!ask) resolve();
  signal.addEventListener("abort", () => reject(signal.reason), { once: true });
});

// Shows one task until it is answered, given back or over; what to say of it.
const work = (market, desk, { signal, lease, spec }) => new Promise((resolve, reject) => {
  const own = new AbortController();
  const form = FORMS[spec.kind](spec.schema);
  const wrong = make("p", { id: "wrong", role: "alert", class: "wrong", hidden: true });
  const over = (outcome) => {
    own.abort();
    resolve(outcome);
  };
  const complain = (error) => {
    if (signal.aborted) return reject(signal.reason);
    if (error instanceof Problem && OVER.has(error.code)) return over(`This task is over: ${error.message}`);
    wrong.textContent = error.message;
    wrong.hidden = false;
    form.element.setAttribute("aria-invalid", "true");
    return undefined;
  };
  let answered = null; // what was signed stays, so that trying again sends the very same
  let busy = false;
  const once = async (work) => {
    if (busy) return;
    busy = true;
    submit.setAttribute("aria-disabled", "true");
    wrong.hidden = true;
    problem(null);
    try {
      await work();
    } catch (error) {
      complain(error);
    } finally {
      busy = false;
      submit.removeAttribute("aria-disabled");
    }
  };
  const answer = () => once(async () => {
    const content = { value: form.value() };
    const text = JSON.stringify(content);
    if (answered?.text !== text) {
      const message = await answerMessage(lease, market.wallet.address, content);
      answered = { text, body: { content, signature: base58(await sign(market.wallet, message)) } };
    }
    const taken = await market.api.post(`/v1/tasks/${lease.task}/answer`, answered.body, { signal });
    market.dispatchEvent(new Event("answered"));
    over(taken.again ? "This answer had been recorded before." : "Answer recorded.");
  });
  const submit = make("button", { type: "submit", class: "main" }, "Submit", make("kbd", {}, "Enter"));
  const skip = button("Skip", () => once(async () => {
    await market.api.post("/v1/skips", { tasks: [lease.task] }, { signal });
    over("Skipped; you are not asked this one again.");
  }));
  const heading = make("h3", {}, `Item ${lease.index + 1}`);
  desk.replaceChildren(
    make("div", { class: "split" }, heading,
      leaseClock(lease.expires_at, market.api, own.signal, () => over("The lease ended: the task went back."))),
    showItem(market.api, lease, own.signal),
    make("form", {
      novalidate: true,
      "aria-label": "Your answer",
      onsubmit: (event) => {
        event.preventDefault();
        answer();
      },
    }, form.element, wrong, make("div", { class: "row" }, submit, skip)));
  document.addEventListener("keydown", (event) => pressed(event, form, answer), { signal: own.signal });
  signal.addEventListener("abort", () => {
    own.abort();
    reject(signal.reason);
  }, { once: true, signal: own.signal });
  form.focus();
});

// Keys work wherever the focus is, but for what a text field, a button or a dialog does with them itself.
const pressed = (event, form, answer) => {
  const at = event.target;
  if (document.querySelector("dialog[open]") !== null || event.altKey || event.metaKey || event.isComposing) return;
  if (event.key === "Enter" && event.ctrlKey && at.matches("textarea")) {
    event.preventDefault();
    answer();
    return;
  }
  if (event.ctrlKey || at.matches("textarea, input[type=text], select")) return;
  if (event.key === "Enter") {
    if (at.closest("button, a") !== null) return; // does by itself what it does
    event.preventDefault();
    if (!event.repeat) answer();
  } else if (form.press(event.key)) {
    event.preventDefault();
  }
};
