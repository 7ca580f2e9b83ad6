// For who has a wallet that is not registered yet and wants to post requests.
import { tokens } from "../actions.js";
import { button, list, make } from "../dom.js";
import { problem, say } from "../notices.js";
import { poll } from "../poll.js";
import { funding } from "./funds.js";

const EVERY = 3000;
const GIFT = "1000"; // test tokens

export const becomeBuyer = (market, main, { terms, participant, signal, done }) => {
  if (participant !== null) {
    main.replaceChildren(
      make("h2", { tabindex: "-1" }, `This wallet is a ${participant.role}`),
      make("p", {}, "A wallet has one role. To post requests, ",
        make("a", { href: "#/wallet" }, "use another wallet"), "."));
    return undefined;
  }
  const funds = make("div");
  const look = async () => {
    const { lamports, tokens: held } = await market.api.get("/v1/balance", { signal });
    funds.replaceChildren(list({
      Wallet: make("code", {}, market.wallet.address),
      "It has": `${held[0]} tokens, ${tokens(BigInt(lamports), 9)} SOL`,
      "It needs": "a little SOL for the registration; the tokens that your requests pay",
    }));
    register.hidden = lamports === 0;
    if (terms.faucet) faucet.hidden = lamports > 0;
  };
  const faucet = funding(market, terms, GIFT, {
    signal,
    what: "SOL (for the network's fees and the rent of a few accounts; 0.05 is plenty) and the tokens that you mean to pay",
    given: async () => {
      await look();
      say("The faucet gave SOL for fees, and tokens.");
    },
  });
  const register = button("Register as a buyer", async () => {
    problem(null);
    const body = { role: "buyer" };
    if (!await market.transact("/v1/participants", body, { register: "buyer", set_payout: true }, { signal })) return;
    say("Registered. Now you can post a request.");
    await done();
  }, { class: "main", failed: problem });
  register.hidden = true;
  main.replaceChildren(
    make("h2", { tabindex: "-1" }, "Register as a buyer"),
    make("p", {}, "Registering costs a little SOL and no tokens. What a request locks stays yours until it is earned."),
    market.wallet.saved ? "" : make("p", { class: "caution" }, make("a", { href: "#/wallet" }, "Save the key file"),
      " before you put money here that you would miss: this browser alone has the key, and refunds go to its wallet."),
    funds, make("div", { class: "row" }, faucet, register));
  return poll(signal, EVERY, look);
};
