// What a transaction of the market's making would do, in words, before it is signed. Only what was asked for passes:
// every instruction is known, its amounts are those asked for, and every account that gives or takes tokens is the
// wallet's own.
import { ASSOCIATED, associated, participant, requestAddress } from "./address.js";
import { equal, hex, sha256, utf8 } from "./bytes.js";
import { parse } from "./transaction.js";

const ROLES = { buyer: 1, labeler: 2 };
const HASH = { array: ["u8", 32] };

// The program's instructions that the page asks for, and the types that they name: accounts, arguments and fields in
// order, as in idl/assay.json (a test compares them).
export const TYPES = {
  PostRequestArgs: [["spec_hash", HASH], ["amount", "u64"], ["price", "u64"], ["validation_fee", "u64"],
    ["deadline", "i64"], ["records", "u32"], ["overlap", "u16"], ["premium_bps", { array: ["u16", 4] }], ["mode", "u8"],
    ["kind", "u8"], ["min_tier", "u8"]],
};
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
  post_request: {
    accounts: ["buyer", "market", "participant", "request", "mint", "source", "vault", "token_program",
      "system_program"],
    args: [["id", "u64"], ["args", { defined: { name: "PostRequestArgs" } }]],
  },
  top_up_request: {
    accounts: ["funder", "market", "request", "mint", "source", "vault", "token_program"],
    args: [["amount", "u64"]],
  },
  cancel_request: { accounts: ["buyer", "market", "request"], args: [] },
  close_request: {
    accounts: ["market", "request", "participant", "payout", "vault", "owed_vault", "mint", "token_program"],
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

// The value of a type at `at`, and where it ends: bytes as hexadecimal texts, numbers (none is negative) as BigInt,
// structures by the names of their fields.
const value = (data, at, type) => {
  if (type.defined) return fields(data, at, TYPES[type.defined.name]);
  if (type.array?.[0] === "u8") return [hex(data.slice(at, at + type.array[1])), at + type.array[1]];
  if (type.array) return several(data, at, type.array[0], type.array[1]);
  if (type.vec) {
    const [length, from] = value(data, at, "u32");
    return several(data, from, type.vec, Number(length));
  }
  const end = at + SIZES[type];
  return [data.slice(at, end).reduceRight((sum, byte) => (sum << 8n) | BigInt(byte), 0n), end];
};

const several = (data, at, type, length) => {
  const out = [];
  let end = at;
  for (let left = length; left > 0 && end <= data.length; left -= 1) {
    const [one, next] = value(data, end, type);
    out.push(one);
    end = next;
  }
  return [out, end];
};

const fields = (data, at, named) => {
  const out = {};
  let end = at;
  for (const [name, type] of named) [out[name], end] = value(data, end, type);
  return [out, end];
};

const decode = async ({ accounts, data }) => {
  const name = await nameOf(data);
  const layout = INSTRUCTIONS[name];
  const [args, end] = fields(data, 8, layout.args);
  if (end !== data.length || accounts.length !== layout.accounts.length) refuse(`calls ${name} in a way not known`);
  return { name, args, accounts: Object.fromEntries(layout.accounts.map((role, i) => [role, accounts[i]])) };
};

// What `post_request` does, of the terms that were asked for and found to be its.
const posting = ({ args }, { decimals, payout }) => [
  `Post the request with the specification ${args.spec_hash.slice(0, 8)}…, which is the one on this page: `
    + `${args.records} items, up to ${args.overlap} answers each`,
  `Lock ${tokens(args.amount, decimals)} tokens for it, out of ${payout}; what is not earned comes back`,
  `Pay ${tokens(args.price, decimals)} tokens an accepted answer, and ${tokens(args.validation_fee, decimals)} for a `
    + "record's validation",
  `Take answers until ${new Date(Number(args.deadline) * 1000).toLocaleString()}`,
];

const sentence = (name, args, { decimals, payout, wanted }) => {
  switch (name) {
    case "register": return `Register this wallet as a ${wanted}`;
    case "set_payout": return `Be paid to this wallet's own token account ${payout}`;
    case "stake": return `Stake ${tokens(args.amount, decimals)} tokens, out of that account`;
    case "request_unstake": return `Begin to take ${tokens(args.amount, decimals)} tokens out of the stake`;
    case "open_dispute":
      return `Dispute the rejection of answer ${args.answer_id.slice(0, 8)}…, with a bond out of ${payout}: by the market's `
        + `word ${wanted.bond} tokens, as the request's terms on chain fix it. It is lost if the panel says the rejection was right`;
    case "post_request": return posting(args, { decimals, payout });
    case "top_up_request": return `Add ${tokens(args.amount, decimals)} tokens to the escrow of ${wanted.request}, out of ${payout}`;
    case "cancel_request":
      return `Cancel the request ${wanted.request}: no new work, and what is in hand may still be paid in its grace period`;
    case "close_request": return `Close the request ${wanted.request}: what is left of its escrow comes back to ${payout}`;
    case "withdraw_stake": return `Take the stake whose waiting time is over to ${payout}`;
    default: return `Take what is owed to this wallet to ${payout}`;
  }
};

// {message, lines}: the bytes to sign, and what they do. `wanted`: the instructions that may stand in it, with the
// amount where one was asked for, such as {register: "labeler", stake: 100000000n}, {open_dispute: {answer, bond}},
// {top_up_request: {request, amount}}, {cancel_request: {request}}, {close_request: {request}}, or {post_request: {id,
// mint, until, …}} with the fields of PostRequestArgs; `until`: the deadline may lie from `deadline` to it.
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
      payer: wallet, wallet, buyer: wallet, funder: wallet, participant: await participant(wallet, market.program),
      source: own.address, destination: own.address, payout: own.address,
    };
    for (const [role, address] of Object.entries(accounts)) {
      if (role in expected && address !== expected[role]) refuse(`has ${address} as its ${role}, which is not this wallet's`);
    }
    if (name === "register" && args.role !== BigInt(ROLES[wanted[name]])) refuse("registers another role");
    if ("amount" in args && args.amount !== (wanted[name].amount ?? wanted[name])) {
      refuse("moves another amount than was asked for");
    }
    if (name === "open_dispute" && args.answer_id !== wanted[name].answer) refuse("disputes another answer");
    if (name === "post_request") await comparePosting(args, accounts, wanted[name], { wallet, market });
    else if (wanted[name].request && accounts.request !== wanted[name].request) refuse("is about another request");
    lines.push(sentence(name, args, { decimals: own.decimals, payout: own.address, wanted: wanted[name] }));
  }
  if (!lines.length) refuse("does nothing");
  return { message, lines: lines.flat() };
};

// Refuses a posting that is not on the very terms that were asked for.
const comparePosting = async ({ id, args }, { mint, request }, wanted, { wallet, market }) => {
  if (mint !== wanted.mint) refuse("pays in another token than was asked for");
  if (id !== BigInt(wanted.id) || request !== await requestAddress(wallet, id, market.program)) {
    refuse("posts a request of another id");
  }
  for (const [name] of TYPES.PostRequestArgs) {
    if (name === "deadline") {
      if (args.deadline < wanted.deadline || args.deadline > wanted.until) refuse("has another deadline");
    } else if (String(args[name]) !== String(wanted[name])) {
      refuse(name === "spec_hash" ? "is for another specification than this page's" : `has another ${name}`);
    }
  }
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
