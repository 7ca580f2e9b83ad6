// For who has a wallet that is not registered, or whose stake is below the market's least: fund it, register, stake.
import { units, tokens } from "../actions.js";
import { button, list, make } from "../dom.js";
import { problem, say } from "../notices.js";
import { poll } from "../poll.js";
import { funding } from "./funds.js";

const EVERY = 3000;

// What is still to be staked (base units), by what is staked already.
const missing = (terms, participant) => {
  const { decimals } = terms.mints[0];
  const least = units(terms.min_labeler_stake, decimals) - units(participant?.stake ?? "0", decimals);
  return least > 0n ? least : 0n;
};

export const mayLabel = (terms, participant) => participant?.role === "labeler" && missing(terms, participant) === 0n;

export const join = async (market, main, { terms, participant, signal, done }) => {
  const { api, wallet } = market;
  if (participant !== null && participant.role !== "labeler") {
    main.replaceChildren(
      make("h2", { tabindex: "-1" }, `This wallet is a ${participant.role}`),
      make("p", {}, "A wallet has one role. To label, forget this wallet and make another one; ",
        make("a", { href: "#/requests" }, "requests"), " are open to all."),
      ...(participant.role === "buyer" ? [make("p", {}, make("a", { href: "#/post", class: "button main" }, "Post a request"))] : []));
    return;
  }
  const { decimals, mint } = terms.mints[0];
  const needed = missing(terms, participant);
  const amount = tokens(needed, decimals);
  const funds = make("div");
  const register = button(participant === null ? `Register and stake ${amount} tokens` : `Stake ${amount} more tokens`,
    async () => {
      problem(null);
      const signature = await market.transact("/v1/participants", { role: "labeler", stake: amount },
        { register: "labeler", set_payout: true, stake: needed }, { signal });
      if (!signature) return;
      say("Registered. Now you can label.");
      await done();
    }, { class: "main", failed: problem });
  const faucet = funding(market, terms, amount, {
    signal,
    what: "SOL (for the network's fees and the rent of two accounts; 0.02 is plenty) and the tokens to stake",
    given: async () => {
      await look();
      say("The faucet gave SOL for fees and the tokens to stake.");
    },
  });
  const look = async () => {
    const { lamports, tokens: held } = await api.get("/v1/balance", { signal });
    funds.replaceChildren(list({
      "Wallet": make("code", {}, wallet.address),
      "Token": make("code", {}, mint),
      "It has": `${held[0]} tokens, ${tokens(BigInt(lamports), 9)} SOL`,
      "It needs": `${amount} tokens to stake, and a little SOL`,
    }));
    const enough = units(held[0], decimals) >= needed && lamports > 0;
    register.hidden = !enough;
    if (faucet.tagName === "BUTTON") faucet.hidden = enough;
  };
  register.hidden = true;
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, participant === null ? "Register as a labeler" : "Your stake is too low to label"),
    make("p", {}, `A labeler stakes ${terms.min_labeler_stake} tokens, which you get back when you leave. Only a rule `
      + "on chain can touch them: when rejections are beyond what chance explains for honest work."),
    wallet.saved ? "" : make("p", { class: "caution" }, make("a", { href: "#/wallet" }, "Save the key file"),
      " before you put money here that you would miss: this browser alone has the key."),
    funds, make("div", { class: "row" }, faucet, register));
  poll(signal, EVERY, look);
};
