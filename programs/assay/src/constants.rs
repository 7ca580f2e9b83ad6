//! Seeds, sizes and the bounds of every parameter, each with its reason.

/// Mints a market may allow: a `Participant` keeps a payout account and an owed amount for each.
pub const MAX_MINTS: usize = 4;
/// Seats of the validator set. A bounded list, since `draw_panel` walks it whole; when it is full the smallest stake
/// makes room for a larger one, so cheap wallets cannot fill it up.
pub const MAX_VALIDATORS: usize = 128;
/// Seats of a panel: what fits a transaction beside the payees (7 signatures are 1.1 KB without, 0.6 KB with lookup tables).
pub const MAX_PANEL: usize = 7;
/// Kinds of task that reputation is counted by.
pub const KINDS: usize = 8;
/// Reputation tiers, 0 to 3.
pub const TIERS: usize = 4;
/// Peaks of the log's Merkle mountain range: 2^32 batches.
pub const MAX_PEAKS: usize = 32;
/// Buckets of money held for disputable rejections. A dispute window is cut in four, so at most five are alive.
pub const RESERVE_BUCKETS: usize = 5;
/// Buyers a participant's strikes are remembered for, until the next slash.
pub const MAX_HARMS: usize = 4;

pub const MARKET_SEED: &[u8] = b"market";
pub const VALIDATORS_SEED: &[u8] = b"validators";
pub const PARTICIPANT_SEED: &[u8] = b"participant";
pub const REQUEST_SEED: &[u8] = b"request";
pub const VAULT_SEED: &[u8] = b"vault";
pub const STAKE_SEED: &[u8] = b"stake";
pub const OWED_SEED: &[u8] = b"owed";
pub const FEES_SEED: &[u8] = b"fees";
pub const DISPUTE_SEED: &[u8] = b"dispute";

/// 100 %.
pub const BPS: u64 = 10_000;
/// Shares of a record's validation fee: lcm(1..=10), so that any panel of up to ten splits it without a remainder.
pub const FEE_UNITS: u64 = 2_520;

/// A year: no window may hold a participant's money longer.
pub const MAX_WINDOW: i64 = 365 * 86_400;
/// A market may keep at most a tenth of what labelers earn.
pub const MAX_FEE_BPS: u16 = 1_000;
/// More than half of the panel must sign, or two disjoint quorums could settle two truths.
pub const MIN_QUORUM_BPS: u16 = 5_001;
/// A single slash for bad work takes at most half of the stake: chance can hit an honest worker (p < 0.001).
pub const MAX_SLASH_BPS: u16 = 5_000;
/// A premium at most doubles the price.
pub const MAX_PREMIUM_BPS: u16 = 10_000;
/// Prices and budgets stay below 2^56 base units, so that price × 65,535 × premium never leaves 128 bits and a sum of
/// budgets never leaves 64.
pub const MAX_AMOUNT: u64 = 1 << 56;
/// Labelers who answer the same task.
pub const MAX_OVERLAP: u16 = 100;
/// Honest error rates `slash_outlier` has tables for (strikes.rs).
pub const ERROR_RATES: u8 = 8;
