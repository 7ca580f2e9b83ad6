// The wallet: its address, what it holds and has at stake; the key file in and out; leaving.
import { tokens, units } from "../actions.js";
import { button, download, list, make } from "../dom.js";
import * as keys from "../keys.js";
import { confirm, problem, say } from "../notices.js";
import { poll } from "../poll.js";
import { caution, importButton, start } from "./start.js";

const EVERY = 5000;

export const wallet = async (market, main, { signal }) => {
  if (market.wallet === null) return start(market, main);
  const held = make("div");
  const stake = make("div");
  const standing = make("div");
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, "Wallet"),
    make("p", {}, make("code", { id: "address" }, market.wallet.address)), held,
    make("h3", {}, "Key file"), caution(), keyButtons(market),
    make("h3", {}, "Stake"), stake, standing);
  let stood;
  return poll(signal, EVERY, async () => {
    const { lamports, tokens: amounts } = await market.api.get("/v1/balance", { signal });
    const [terms, participant] = await Promise.all([market.terms({ signal }), market.participant({ signal })]);
    held.replaceChildren(list({
      SOL: tokens(BigInt(lamports), 9),
      ...Object.fromEntries(terms.mints.map(({ mint }, i) => [`Tokens of ${mint}`, amounts[i]])),
    }));
    const rules = participant === null ? null : await market.api.get("/v1/me/standing", { signal });
    const stands = JSON.stringify([participant, rules, terms.min_labeler_stake]);
    if (stands === stood) return; // what is being typed there is kept
    stood = stands;
    stake.replaceChildren(...staked(market, terms, participant, signal));
    standing.replaceChildren(...explained(rules));
  });
};

const keyButtons = (market) => {
  const { wallet: one } = market;
  const save = async () => {
    download(new Blob([await keys.write(one)], { type: "application/json" }), `assay-${one.address}.json`);
    await market.keep({ ...one, saved: true });
    say("The key file was handed to the browser to be saved.");
  };
  const sure = async (what) => confirm(what, [
    one.saved ? "Its key file was saved from here, or came from one." : "Its key file was never saved from here.",
    `Without that file nobody can ever reach what ${one.address} holds, has staked or is still to be paid.`,
  ], what.replace("?", ""));
  return make("div", { class: "row" },
    button("Save the key file", save, { class: "main", failed: problem }),
    importButton(async (brought) => {
      if (brought.address !== one.address && !await sure("Use another wallet here?")) return;
      await market.keep(brought);
      say(`This browser now holds the wallet ${brought.address}.`);
    }),
    button("Forget this wallet", async () => {
      if (await sure("Forget this wallet?")) await market.keep(null);
    }, { failed: problem }));
};

// What the market's rules make of this wallet, in the API's words.
const explained = (rules) => rules === null ? [] : [
  make("h3", {}, "Standing"),
  ...[rules.tier, rules.strikes].filter((one) => one !== null).map(({ text }) => make("p", {}, text)),
  ...rules.scores.map((one) => make("p", {}, `Score, ${one.kind}: ${one.text} ${one.current_text}`)),
];

const staked = (market, terms, participant, signal) => {
  if (participant === null) {
    return [make("p", {}, "This wallet is not registered. ", make("a", { href: "#/" }, "Register to label"), ".")];
  }
  const { decimals } = terms.mints[0];
  const days = (terms.unstake_window / 86_400).toFixed(1).replace(/\.0$/, "");
  const amount = make("input", { id: "unstake", inputmode: "decimal", autocomplete: "off", value: participant.stake });
  const act = (text, path, body, wanted, said) => button(text, async () => {
    problem(null);
    if (await market.transact(path, body(), wanted(), { signal })) say(said);
  }, { failed: problem });
  const rows = {
    Role: participant.role,
    "At stake": `${participant.stake} tokens`,
    "On its way out": `${participant.unstaking} tokens`,
    Tier: String(participant.tier),
    "Owed on chain": `${participant.owed.join(", ")} tokens`,
  };
  const owed = participant.owed.findIndex((one) => one !== "0");
  return [
    list(rows),
    owed < 0 ? null : act("Take what is owed", "/v1/owed", () => ({ mint: terms.mints[owed].mint }),
      () => ({ claim_owed: true }), "What was owed is in your token account."),
    participant.stake === "0" ? null : make("div", { class: "field" },
      make("label", { for: "unstake" }, "Take out of the stake (tokens)"), amount,
      make("p", { class: "hint" }, `All of it, or so much that ${terms[`min_${participant.role}_stake`]} stay. `
        + `It can be withdrawn ${days} days later, and not while verdicts are open.`),
      act("Begin to take it out", "/v1/unstake", () => ({ amount: amount.value.trim() }),
        () => ({ request_unstake: units(amount.value.trim(), decimals) }), "The waiting time has begun.")),
    participant.unstaking === "0" ? null : act("Withdraw", "/v1/withdraw", () => undefined,
      () => ({ withdraw_stake: true }), "The stake is in your token account again."),
  ].filter((one) => one !== null);
};
