//! Integer arithmetic within what the BPF back end can do (no 64 × 64 multiplication that overflows, no u128), and the
//! formulas that Python repeats bit by bit in `assay.domain`. Widen u32 operands before arithmetic, not its result: sBPF v3
//! sign-extends 32-bit results from 2^31 on, and the compiler does not know it.

use anchor_lang::prelude::*;

use crate::constants::{BPS, TIERS};
use crate::error::AssayError;

/// `a · b` as (high, low) 64-bit words, by 32-bit halves.
#[inline(always)]
fn wide_mul(a: u64, b: u64) -> (u64, u64) {
    const HALF: u64 = 0xffff_ffff;
    let (a1, a0, b1, b0) = (a >> 32, a & HALF, b >> 32, b & HALF);
    let low = a0.wrapping_mul(b0);
    let cross = a1.wrapping_mul(b0).wrapping_add(low >> 32); // at most (2^32−1)² + 2^32−1 < 2^64
    let other = a0.wrapping_mul(b1).wrapping_add(cross & HALF);
    let high = a1.wrapping_mul(b1).wrapping_add(cross >> 32).wrapping_add(other >> 32);
    (high, (other << 32) | (low & HALF))
}

/// `a · b`, or `Overflow`.
#[inline(always)]
pub fn mul(a: u64, b: u64) -> Result<u64> {
    let (high, low) = wide_mul(a, b);
    require!(high == 0, AssayError::Overflow);
    Ok(low)
}

/// `⌊a · b / c⌋` for `c` below 2^32, or `Overflow`: long division by 32-bit digits of the 128-bit product.
#[inline(always)]
pub fn mul_div(a: u64, b: u64, c: u64) -> Result<u64> {
    require!(c > 0 && c <= u32::MAX as u64, AssayError::Overflow);
    let (high, low) = wide_mul(a, b);
    require!(high < c, AssayError::Overflow);
    let upper = (high << 32) | (low >> 32);
    let (q1, r1) = (upper / c, upper % c);
    let lower = (r1 << 32) | (low & 0xffff_ffff);
    Ok((q1 << 32) | (lower / c))
}

#[inline(always)]
pub fn div_ceil(a: u32, b: u32) -> u32 {
    a / b + (a % b != 0) as u32
}

/// `⌊amount · bps / 10000⌋`.
#[inline(always)]
pub fn bps(amount: u64, rate: u64) -> Result<u64> {
    mul_div(amount, rate, BPS)
}

/// Inner node of every tree and of the log's mountain range.
#[inline(always)]
pub fn hash_node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    hashv(&[&[0x01], left, right])
}

/// sha256 of the concatenation, in one call of the runtime.
#[inline(always)]
pub fn hashv(parts: &[&[u8]]) -> [u8; 32] {
    #[cfg(target_os = "solana")]
    {
        let mut out = [0u8; 32];
        // SAFETY: a slice of slices is what the call reads (pointer and 64-bit length each); it writes 32 bytes.
        unsafe {
            pinocchio::syscalls::sol_sha256(parts.as_ptr() as *const u8, parts.len() as u64, out.as_mut_ptr());
        }
        out
    }
    #[cfg(not(target_os = "solana"))]
    {
        sha256(&parts.concat())
    }
}

/// `−log2((u + 1) / 2^64)` in 1/2^24, by 24 squarings of the mantissa in 32-bit fixed point (each keeps 31 fraction
/// bits and drops the rest): whole bits from the leading zeros, one fraction bit a squaring.
pub fn neg_log2(u: u64) -> u64 {
    const FRACTION: u32 = 24;
    if u == u64::MAX {
        return 0;
    }
    let value = u + 1;
    let exponent = 63 - value.leading_zeros();
    let mut mantissa = (value << (63 - exponent)) >> 32; // [2^31, 2^32): 1.0 to 2.0
    let mut log = exponent as u64;
    for _ in 0..FRACTION {
        let square = mantissa.wrapping_mul(mantissa); // below 2^64
        log <<= 1;
        if square >> 63 == 1 {
            log |= 1;
            mantissa = square >> 32;
        } else {
            mantissa = square >> 31;
        }
    }
    (64 << FRACTION) - log
}

/// A validator's place in a panel's drawing, lowest first (Efraimidis and Spirakis 2006, "Weighted random sampling with
/// a reservoir": the key −ln(u)/w orders a weighted sample without replacement).
pub fn panel_key(u: u64, stake: u64, min_stake: u64) -> u64 {
    let weight = (stake / min_stake).clamp(1, 1000);
    (neg_log2(u) << 20) / weight
}

/// `(tier, per cent, answers)`: a tier needs that many judged answers, and an accepted share whose lower Wilson bound
/// at z = 2 reaches the per cent.
const TIER_RULES: [(u8, u64, u64); TIERS - 1] = [(3, 95, 500), (2, 90, 100), (1, 80, 20)];

/// Reputation tier, 0 to 3. Wilson's bound reaches t when p̂ ≥ t and (p̂ − t)²·n ≥ z²·t·(1 − t); in integers, with t in
/// per cent, x = 100·accepted − t·n and z = 2: x ≥ 0 and x² ≥ 4·t·(100 − t)·n. Never falls when an answer is accepted.
pub fn tier(accepted: u32, rejected: u32) -> u8 {
    let accepted = accepted as u64;
    let judged = accepted + rejected as u64;
    for (tier, percent, least) in TIER_RULES {
        let (share, bound) = (100 * accepted, percent * judged);
        if judged < least || share < bound {
            continue;
        }
        // Past 2^24 the square is past any right side (4·2500·2^33 < 2^48).
        let margin = (share - bound).min(1 << 24);
        if margin * margin >= 4 * percent * (100 - percent) * judged {
            return tier;
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_quotients_match_u128() {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        for _ in 0..100_000 {
            let (shift_a, shift_b) = (next() % 64, next() % 64);
            let (a, b, c) = (next() >> shift_a, next() >> shift_b, (next() as u32).max(1) as u64);
            let product = a as u128 * b as u128;
            assert_eq!(mul(a, b).ok(), u64::try_from(product).ok());
            assert_eq!(mul_div(a, b, c).ok(), u64::try_from(product / c as u128).ok());
        }
        assert!(mul_div(1, 1, 0).is_err());
    }

    #[test]
    fn log_is_near_the_real_one_and_falls() {
        let mut last = u64::MAX;
        for step in 0..10_000u64 {
            let u = step * (u64::MAX / 10_000);
            let log = neg_log2(u);
            let real = -((u as f64 + 1.0) / 2f64.powi(64)).log2();
            assert!((log as f64 / 2f64.powi(24) - real).abs() < 1e-6, "{u}");
            assert!(log <= last);
            last = log;
        }
        assert_eq!(neg_log2(0), 64 << 24);
        assert_eq!(neg_log2(u64::MAX), 0);
    }

    #[test]
    fn tiers_rise_with_accepted_answers() {
        assert_eq!(tier(0, 0), 0);
        assert_eq!(tier(19, 0), 0);
        assert_eq!(tier(20, 0), 1);
        assert_eq!(tier(100, 0), 2);
        assert_eq!(tier(500, 0), 3);
        assert_eq!(tier(u32::MAX, 0), 3);
        assert_eq!(tier(u32::MAX, u32::MAX), 0);
        for rejected in 0..120 {
            let mut last = 0;
            for accepted in 0..3_000 {
                let now = tier(accepted, rejected);
                assert!(now >= last, "{accepted} {rejected}");
                last = now;
            }
        }
    }
}
