// What a transaction of the market's making would do, in words, before it is signed. Only what was asked for passes:
// every instruction is known, its amounts are those asked for, and every account that gives or takes tokens is the
// wallet's own.
import { ASSOCIATED, associated, participant } from "./address.js";
import { equal, hex, sha256, utf8 } from "./bytes.js";
import { parse } from "./transaction.js";

const LABELER = 2;
const HASH = { array: ["u8", 32] };

// The program's instructions that the page asks for: accounts and arguments in order, as in idl/assay.json (a test
// compares them).
export const INSTRUCTIONS = {
  register: { accounts: ["payer", "wallet", "market", "participant", "system_program"], args: [["role", "u8"]] },
  set_payout: { accounts: ["wallet", "market", "participant", "mint", "payout"], args: [] },
  stake: {
    accounts: ["wallet", "market", "participant", "validators", "mint", "source", "stake_vault", "token_program"],
    args: [["amount", "u64"]],
  },
  request_unstake: { accounts: ["wallet", "market", "participant", "validators"], args: [["amount", "u64"]] },
  withdraw_stake: {
    accounts: ["wallet", "market", "participant", "mint", "destination", "stake_vault", "token_program"],
    args: [],
  },
  claim_owed: {
    accounts: ["wallet", "market", "participant", "mint", "destination", "owed_vault", "token_program"],
    args: [],
  },
  open_dispute: {
    accounts: ["wallet", "market", "participant", "request", "dispute", "source", "stake_vault", "mint", "token_program",
      "system_program"],
    args: [["answer_id", HASH], ["task_id", HASH], ["confidence", "u16"], ["evidence", HASH], ["batch", "u64"],
      ["index", "u32"], ["settled_at", "i64"], ["digest", HASH], ["proof", { vec: HASH }], ["log_proof", { vec: HASH }]],
  },
};
const SIZES = { u8: 1, u16: 2, u32: 4, u64: 8, i64: 8 };

// Base units of a decimal text of tokens, and back.
export const units = (text, decimals) => {
  const match = text.match(/^(0|[1-9][0-9]*)(?:\.([0-9]+))?$/);
  if (!match || (match[2] ?? "").length > decimals) throw new Error(`${text} is no amount of tokens, such as 100 or 0.5.`);
  return BigInt(match[1] + (match[2] ?? "").padEnd(decimals, "0"));
};

export const tokens = (amount, decimals) => {
  const digits = String(amount).padStart(decimals + 1, "0");
  const whole = digits.slice(0, digits.length - decimals);
  const rest = digits.slice(digits.length - decimals).replace(/0+$/, "");
  return rest ? `${whole}.${rest}` : whole;
};

const refuse = (why) => {
  throw new Error(`The market sent a transaction that ${why}. It was not signed.`);
};

const nameOf = async (data) => {
  for (const name of Object.keys(INSTRUCTIONS)) {
    if (equal(data.slice(0, 8), (await sha256(utf8(`global:${name}`))).slice(0, 8))) return name;
  }
  return refuse("calls something that this page does not know");
};

// The value of a type at `at`, and where it ends: hashes as hexadecimal texts, numbers (none is negative) as BigInt.
const value = (data, at, type) => {
  if (type.array) return [hex(data.slice(at, at + type.array[1])), at + type.array[1]];
  if (type.vec) {
    let [left, end] = value(data, at, "u32");
    const out = [];
    for (; left > 0n && end <= data.length; left -= 1n) {
      const [one, next] = value(data, end, type.vec);
      out.push(one);
      end = next;
    }
    return [out, end];
  }
  const end = at + SIZES[type];
  return [data.slice(at, end).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n), end];
};

const decode = async ({ accounts, data }) => {
  const name = await nameOf(data);
  const layout = INSTRUCTIONS[name];
  let at = 8;
  const args = {};
  for (const [argument, type] of layout.args) {
    [args[argument], at] = value(data, at, type);
  }
  if (at !== data.length || accounts.length !== layout.accounts.length) refuse(`calls ${name} in a way not known`);
  return { name, args, accounts: Object.fromEntries(layout.accounts.map((role, i) => [role, accounts[i]])) };
};

const sentence = (name, args, { decimals, payout, bond }) => {
  switch (name) {
    case "register": return "Register this wallet as a labeler";
    case "set_payout": return `Be paid to this wallet's own token account ${payout}`;
    case "stake": return `Stake ${tokens(args.amount, decimals)} tokens, out of that account`;
    case "request_unstake": return `Begin to take ${tokens(args.amount, decimals)} tokens out of the stake`;
    case "open_dispute":
      return `Dispute the rejection of answer ${args.answer_id.slice(0, 8)}…, with a bond out of ${payout}: by the market's `
        + `word ${bond} tokens, as the request's terms on chain fix it. It is lost if the panel says the rejection was right`;
    case "withdraw_stake": return `Take the stake whose waiting time is over to ${payout}`;
    default: return `Take what is owed to this wallet to ${payout}`;
  }
};

// {message, lines}: the bytes to sign, and what they do. `wanted`: the instructions that may stand in it, with the
// amount where one was asked for, such as {stake: 100000000n}, or {open_dispute: {answer, bond}}.
export const review = async (bytes, { wallet, market, wanted }) => {
  const { message, keys, instructions } = parse(bytes);
  if (keys[0] !== wallet) refuse("another wallet would sign");
  const lines = [];
  const seen = new Set();
  for (const instruction of instructions) {
    if (instruction.program === ASSOCIATED) {
      const [payer, account, owner, mint, , tokenProgram] = instruction.accounts;
      const own = await ownAccount(wallet, mint, market);
      const creates = instruction.data.length === 0 || (instruction.data.length === 1 && instruction.data[0] < 2);
      const known = payer === wallet && owner === wallet && account === own.address && tokenProgram === own.program;
      if (!creates || !known) refuse("opens an account that is not this wallet's");
      lines.push(`Open the token account ${account} for this wallet, where it is not open yet`);
      continue;
    }
    if (instruction.program !== market.program) refuse(`calls the program ${instruction.program}`);
    const { name, args, accounts } = await decode(instruction);
    if (!(name in wanted) || seen.has(name)) refuse(`does ${name}, which was not asked for`);
    seen.add(name);
    const mint = accounts.mint ?? market.mints[0].mint;
    const own = await ownAccount(wallet, mint, market);
    const expected = {
      payer: wallet, wallet, participant: await participant(wallet, market.program),
      source: own.address, destination: own.address, payout: own.address,
    };
    for (const [role, address] of Object.entries(accounts)) {
      if (role in expected && address !== expected[role]) refuse(`has ${address} as its ${role}, which is not this wallet's`);
    }
    if (name === "register" && args.role !== BigInt(LABELER)) refuse("registers another role");
    if ("amount" in args && args.amount !== wanted[name]) refuse(`moves another amount than was asked for`);
    if (name === "open_dispute" && args.answer_id !== wanted[name].answer) refuse("disputes another answer");
    lines.push(sentence(name, args, { decimals: own.decimals, payout: own.address, bond: wanted[name].bond }));
  }
  if (!lines.length) refuse("does nothing");
  return { message, lines };
};

const ownAccount = async (wallet, mint, market) => {
  const known = market.mints.find((one) => one.mint === mint);
  if (known === undefined) return refuse(`names the mint ${mint}, which is not the market's`);
  return {
    address: await associated(wallet, mint, known.token_program),
    program: known.token_program,
    decimals: known.decimals,
  };
};
