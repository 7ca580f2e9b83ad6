// What a request's buyer can do with it: add money, cancel it, close it. Each shows what it signs first.
import { units } from "../actions.js";
import { button, make } from "../dom.js";
import { problem, say } from "../notices.js";

// {element, show}: `show` takes the request's progress; `done` is awaited after each act.
export const owning = (market, path, address, { signal, done }) => {
  const act = (text, to, body, wanted, said) => button(text, async () => {
    problem(null);
    if (!await market.transact(`${path}/${to}`, body(), await wanted(), { signal })) return;
    say(said);
    await done();
  }, { failed: problem });
  const amount = make("input", { id: "topup", type: "text", inputmode: "decimal", autocomplete: "off" });
  const more = make("div", { class: "field" },
    make("label", { for: "topup" }, "Add to its escrow (tokens)"), amount,
    act("Top up", "top-up", () => ({ amount: amount.value.trim() }), async () => {
      const { mints } = await market.terms({ signal });
      return { top_up_request: { request: address, amount: units(amount.value.trim(), mints[0].decimals) } };
    }, "The escrow has more."));
  const cancel = act("Cancel this request", "cancel", () => undefined, () => ({ cancel_request: { request: address } }),
    "The request is cancelled. What is in hand may still be settled; then it can be closed.");
  const close = act("Close it and take the rest back", "close", () => undefined,
    () => ({ close_request: { request: address } }), "Closed. What was left is in your token account.");
  close.classList.add("main");
  const hint = make("p", { class: "hint" });
  const element = make("section", { "aria-label": "Your request", hidden: true }, make("h3", {}, "Your request"), hint,
    more, make("div", { class: "row" }, close, cancel));
  return {
    element,
    show: ({ request, chain }) => {
      const open = request.state === "open";
      const done = chain !== null && chain.records_done === request.records;
      element.hidden = chain === null || !["open", "closing"].includes(request.state);
      more.hidden = !open || done;
      cancel.hidden = !open || done;
      close.hidden = open && !done;
      if (chain !== null) {
        hint.textContent = close.hidden
          ? "It can be closed when all its records are done, or after it was cancelled or its deadline has passed."
          : `A close gives ${chain.refundable} tokens back now${chain.reserved === "0" ? "" : `; ${chain.reserved} are kept until the disputes over it can no longer be opened`}.`;
      }
    },
  };
};
