// The answer message of docs/protocol.md: what a labeler signs.
import { digest } from "./canonical.js";
import { concat, unbase58, unhex, utf8 } from "./bytes.js";

const TAG_ANSWER = utf8("assay-answer-v1\0");

// 144 bytes. `lease`: as the API gives it; `wallet`: base58; `content`: in the normal form of its kind.
export const answerMessage = async (lease, wallet, content) => {
  const message = concat(TAG_ANSWER, unhex(lease.domain), unhex(lease.task), unbase58(wallet), await digest(content));
  if (message.length !== 144) throw new Error("The task's ids are not of 32 bytes.");
  return message;
};

// Refuses to sign anything for a sign-in but a text that names this page's own market and this wallet, so that nobody
// can pass another market's challenge, or a transaction, through this page.
export const checkSignIn = (message, wallet, host) => {
  const [first, second, third, fourth] = message.split("\n");
  const named = first.match(/^(\S+) wants you to sign in with your Solana account:$/)?.[1];
  if (named === undefined || second !== wallet || third !== "" || !fourth.startsWith("Sign in to Assay.")) {
    throw new Error("The market sent a text that is no sign-in message of this wallet; it was not signed.");
  }
  if (named !== host) {
    throw new Error(
      `This market signs in at ${named}, and this page was opened at ${host}. Open it there (the operator sets ASSAY_PUBLIC_URL).`,
    );
  }
};
