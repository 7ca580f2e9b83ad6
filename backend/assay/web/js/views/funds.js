// Test tokens, where the market gives them away; else where to send real ones.
import { button, make } from "../dom.js";
import { problem } from "../notices.js";

// A button, or the address to fund. `amount`: a decimal text of tokens, or a function of it; `given` is awaited after.
export const funding = ({ api, wallet }, terms, amount, { signal, given, what }) => terms.faucet
  ? button("Get test tokens", async () => {
    problem(null);
    const wanted = typeof amount === "function" ? amount() : amount;
    await api.post("/v1/faucet", { wallet: wallet.address, tokens: wanted }, { auth: false, signal });
    await given();
  }, { failed: problem })
  : make("p", {}, `Send ${what} to `, make("code", {}, wallet.address), ". This page notices when they arrive.");
