//! Pays a batch of verdicts that a quorum of the panel has signed. All money is computed here, from the tallies and the
//! request's terms; who submits does not matter.

use alloc::vec::Vec;

use anchor_lang::prelude::*;
use anchor_lang::{AnchorAccount, AnchorDeserialize, AnchorSerialize, Discriminator, IdlType};
use bytemuck::{Pod, Zeroable};

use crate::constants::*;
use crate::error::AssayError;
use crate::events::{BatchSettled, Payment};
use crate::math::{bps, hashv, mul, mul_div, tier};
use crate::signed::each_signature;
use crate::state::{Market, Now, Participant, Request, AGREEMENT, LABELER, REVIEW, VALIDATOR};
use crate::token::{can_receive, market_mover};

/// What one batch says of one participant.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable, AnchorDeserialize, AnchorSerialize, IdlType)]
pub struct Tally {
    /// Accepted (right) answers, or votes that agreed with the verdict.
    pub good: u16,
    /// Rejected answers, or votes that did not agree.
    pub bad: u16,
    /// How many of `good` were on gold tasks.
    pub gold_passed: u16,
    /// How many of `bad` were on gold tasks.
    pub gold_failed: u16,
    /// A validator's share of the fees, in 1/2520 of a record's. A labeler's, in agreement: how many of `good` are right
    /// and not paid; in review 0.
    pub units: u32,
}

/// The figures of a batch, as they are signed.
#[derive(Clone, Copy)]
pub struct Batch {
    pub number: u64,
    pub root: [u8; 32],
    pub records: u16,
    pub judged: u16,
    pub answers: u16,
    pub votes: u32,
}

#[derive(Accounts)]
pub struct SettleBatch {
    #[account(seeds = [b"market"], bump = market.bump)]
    pub market: Account<Market>,
    #[account(mut)]
    pub request: Account<Request>,
    #[account(mut, seeds = [b"vault", request.address().as_ref()], bump = request.vault_bump)]
    pub vault: UncheckedAccount,
    #[account(mut, seeds = [b"owed", mint.address().as_ref()],
        bump = market.mints[request.mint_index as usize].owed_bump)]
    pub owed_vault: UncheckedAccount,
    #[account(address = market.mints[request.mint_index as usize].mint @ AssayError::WrongMint)]
    pub mint: UncheckedAccount,
    #[account(address = market.mints[request.mint_index as usize].token_program @ AssayError::WrongMint)]
    pub token_program: UncheckedAccount,
    pub instructions: Sysvar<SysvarInstructions>,
}

/// A payee: its Participant, where it wants to be paid, and how much it has earned.
struct Payee {
    participant: &'static mut Participant,
    payout: AccountView,
    amount: u64,
}

/// The Participant in an account, if it is one of this program's and may be written.
///
/// Accounts come in strictly ascending order (tallies) or by different wallets (co-signers), and declared ones cannot be
/// given again, so no two references are to the same bytes.
fn participant(view: &AccountView) -> Result<&'static mut Participant> {
    const SIZE: usize = 8 + core::mem::size_of::<Participant>();
    let good = view.is_writable() && view.owned_by(&crate::ID) && view.data_len() == SIZE;
    require!(good, AssayError::NotAParticipant);
    // SAFETY: the account's bytes outlive the instruction, are as long as the type and 8-byte aligned in the runtime's
    // input, as is the type behind its discriminator; any bytes are a valid Participant.
    unsafe {
        let data = view.data_ptr() as *mut u8;
        let tag = core::slice::from_raw_parts(data, 8);
        require!(tag == Participant::DISCRIMINATOR, AssayError::NotAParticipant);
        Ok(&mut *(data.add(8) as *mut Participant))
    }
}

/// Sums over the tallies of each role.
#[derive(Default)]
struct Sums {
    accepted: u64,
    rejected: u64,
    votes: u64,
    units: u64,
    validators: u32,
}

fn validate(request: &Request, batch: &Batch, now: &Now) -> Result<()> {
    require!(request.settling(now), AssayError::NotSettling);
    require!(batch.number == request.next_batch, AssayError::WrongBatch);
    require!(request.panel_count > 0, AssayError::NoPanel);
    require!(batch.answers > 0, AssayError::RecordsDoNotFit);
    let left = request.records - request.records_done;
    require!(batch.records as u32 <= left, AssayError::TooManyRecords);
    Ok(())
}

/// The tallies must say, together, what the batch says.
fn check_sums(request: &Request, batch: &Batch, sums: &Sums) -> Result<()> {
    require!(sums.accepted + sums.rejected == batch.answers as u64, AssayError::AnswersDoNotAddUp);
    require!(sums.votes == batch.votes as u64, AssayError::VotesDoNotAddUp);
    if request.mode == REVIEW {
        require!(sums.units == FEE_UNITS * batch.judged as u64, AssayError::UnitsDoNotAddUp);
        let fits = batch.judged == batch.answers && batch.records as u64 == sums.accepted;
        require!(fits, AssayError::RecordsDoNotFit);
    } else {
        require!(sums.validators == 0 && batch.votes == 0, AssayError::VotesDoNotAddUp);
        require!(batch.judged == batch.records, AssayError::RecordsDoNotFit);
    }
    Ok(())
}

/// What the panel signs for.
fn digest(batch: &Batch, keys: &[AccountView], tallies: &[Tally]) -> [u8; 32] {
    let (records, judged) = (batch.records.to_le_bytes(), batch.judged.to_le_bytes());
    let (answers, votes) = (batch.answers.to_le_bytes(), batch.votes.to_le_bytes());
    let mut parts: Vec<&[u8]> = Vec::with_capacity(5 + 2 * tallies.len());
    parts.extend_from_slice(&[&batch.root, &records, &judged, &answers, &votes]);
    for (pair, tally) in keys.chunks_exact(2).zip(tallies) {
        parts.push(pair[0].address().as_ref());
        parts.push(bytemuck::bytes_of(tally));
    }
    hashv(&parts)
}

/// Signers of this very batch, each on the panel and only once, at least a quorum; in the order of the signatures.
fn cosigners(
    request: &Request,
    batch: &Batch,
    digest: &[u8; 32],
    instructions: &SysvarInstructions,
) -> Result<Vec<Address>> {
    let mut message = [0u8; 92];
    message[..16].copy_from_slice(b"assay-batch-v1\0\0");
    message[16..48].copy_from_slice(&request.domain);
    message[48..56].copy_from_slice(&batch.number.to_le_bytes());
    message[56..60].copy_from_slice(&request.panel_round.to_le_bytes());
    message[60..].copy_from_slice(digest);
    let panel = &request.panel[..request.panel_count as usize];
    let mut signers = Vec::with_capacity(panel.len());
    each_signature(instructions, |key, signed| {
        require!(signed == message, AssayError::WrongMessage);
        require!(panel.contains(key), AssayError::NotOnPanel);
        require!(!signers.contains(key), AssayError::DuplicateSigner);
        signers.push(*key);
        Ok(())
    })?;
    require!(signers.len() as u32 >= request.quorum(), AssayError::NoQuorum);
    Ok(signers)
}

/// `⌊total · upto / whole⌋ − ⌊total · before / whole⌋`: shares by running sums add up to the total exactly.
fn share(total: u64, before: u64, upto: u64, whole: u64) -> Result<u64> {
    if total == 0 || before == upto {
        return Ok(0);
    }
    Ok(mul_div(total, upto, whole)? - mul_div(total, before, whole)?)
}

/// Takes a tally into a participant's counters.
fn count(person: &mut Participant, tally: &Tally, request: &Request) -> Result<()> {
    require!(tally.gold_passed <= tally.good && tally.gold_failed <= tally.bad, AssayError::BadGold);
    let (good, bad) = (tally.good as u32, tally.bad as u32);
    let (right, wrong) = if person.role == LABELER {
        (&mut person.accepted, &mut person.rejected)
    } else {
        (&mut person.agreed, &mut person.disagreed)
    };
    // Counters that are full stay so: nobody's pay waits for them.
    *right = right.saturating_add(good);
    *wrong = wrong.saturating_add(bad);
    person.gold_passed = person.gold_passed.saturating_add(tally.gold_passed as u32);
    person.gold_failed = person.gold_failed.saturating_add(tally.gold_failed as u32);
    let kind = &mut person.kinds[request.kind as usize];
    kind.good = kind.good.saturating_add(good);
    kind.bad = kind.bad.saturating_add(bad);
    person.judgements = person.judgements.saturating_add(good + bad);
    person.strikes = person.strikes.saturating_add(bad);
    Ok(())
}

/// What a role's strikes put at risk: a labeler's, the fee for checking a worthless answer; a validator's, the price of
/// an answer judged wrongly. Stakes are in `mints[0]`, so only losses in it can be made good from them.
fn loss(person: &Participant, tally: &Tally, request: &Request) -> u64 {
    if request.mint_index != 0 || tally.bad == 0 {
        return 0;
    }
    let each = if person.role == LABELER { request.validation_fee } else { request.price };
    mul(each, tally.bad as u64).unwrap_or(u64::MAX)
}

#[inline(always)]
pub fn handler(ctx: &mut Context<SettleBatch>, batch: Batch, tallies: Vec<Tally>) -> Result<()> {
    let others = ctx.remaining_accounts()?;
    let accounts = &mut ctx.accounts;
    let now = accounts.market.now()?;
    validate(&accounts.request, &batch, &now)?;

    let pairs = 2 * tallies.len();
    require!(others.len() >= pairs, AssayError::WrongAccountCount);
    let digest = digest(&batch, &others[..pairs], &tallies);
    let signers = cosigners(&accounts.request, &batch, &digest, &accounts.instructions)?;
    let paid_cosigners = if accounts.request.mode == AGREEMENT { signers.len() } else { 0 };
    require!(others.len() == pairs + 2 * paid_cosigners, AssayError::WrongAccountCount);

    let mut payees: Vec<Payee> = Vec::with_capacity(tallies.len() + paid_cosigners);
    let request = &*accounts.request;
    let mint_index = request.mint_index as usize;
    let fees_due = mul(batch.judged as u64, request.validation_fee)?;
    // Looked for only when somebody has a strike to remember it by.
    let struck = tallies.iter().any(|tally| tally.bad > 0) && mint_index == 0;
    let buyer = if struck {
        find_program_address(&[PARTICIPANT_SEED, request.buyer.as_ref()], ctx.program_id).0
    } else {
        Address::default()
    };
    let bonded_until = now.wall + request.terms.params.dispute_window;
    let mut sums = Sums::default();
    let mut last: Option<&Address> = None;
    for (pair, tally) in others.chunks_exact(2).zip(&tallies) {
        let address = pair[0].address();
        require!(last.is_none_or(|before| before.as_array() < address.as_array()), AssayError::TalliesOutOfOrder);
        last = Some(address);
        let person = participant(&pair[0])?;
        require!(person.wallet != request.buyer, AssayError::WrongRole);
        let amount = match person.role {
            LABELER => {
                let most = if request.mode == AGREEMENT { tally.good as u32 } else { 0 };
                require!(tally.units <= most, AssayError::BadUnpaid);
                sums.accepted += tally.good as u64;
                sums.rejected += tally.bad as u64;
                let rate = BPS + request.terms.premium_bps[tier(person.accepted, person.rejected) as usize] as u64;
                bps(mul(tally.good as u64 - tally.units as u64, request.price)?, rate)?
            }
            VALIDATOR => {
                sums.validators += 1;
                sums.votes += tally.good as u64 + tally.bad as u64;
                let before = sums.units;
                sums.units += tally.units as u64;
                let whole = FEE_UNITS * batch.judged as u64;
                require!(sums.units <= whole, AssayError::UnitsDoNotAddUp);
                share(fees_due, before, sums.units, whole)?
            }
            _ => return Err(AssayError::WrongRole.into()),
        };
        count(person, tally, request)?;
        let loss = loss(person, tally, request);
        person.harm(&buyer, loss);
        payees.push(Payee { participant: person, payout: pair[1], amount });
    }
    check_sums(request, &batch, &sums)?;
    for (index, pair) in others[pairs..].chunks_exact(2).enumerate() {
        let person = participant(&pair[0])?;
        require!(person.wallet == signers[index] && person.role == VALIDATOR, AssayError::WrongCosigner);
        let amount = share(fees_due, index as u64, index as u64 + 1, signers.len() as u64)?;
        payees.push(Payee { participant: person, payout: pair[1], amount });
    }

    let (mut to_labelers, mut to_validators) = (0u64, 0u64);
    for payee in &payees {
        let sum = if payee.participant.role == LABELER { &mut to_labelers } else { &mut to_validators };
        *sum = sum.checked_add(payee.amount).ok_or(AssayError::Overflow)?;
    }
    let request = &mut accounts.request;
    let fee = bps(to_labelers, request.terms.params.fee_bps as u64)?;
    let each = bps(request.price, BPS + request.top_premium() as u64)?;
    let reserved = if request.terms.params.dispute_window > 0 { mul(sums.rejected, each)? } else { 0 };
    request.release_reserves(now.market);
    request.reserve(reserved, now.market)?;
    request.paid_labelers = request.paid_labelers.checked_add(to_labelers).ok_or(AssayError::Overflow)?;
    request.paid_validators = request.paid_validators.checked_add(to_validators).ok_or(AssayError::Overflow)?;
    request.fees = request.fees.checked_add(fee).ok_or(AssayError::Overflow)?;
    request.records_done += batch.records as u32;
    request.answers_accepted += sums.accepted;
    request.answers_rejected += sums.rejected;
    let at = now.market.to_le_bytes();
    let leaf = hashv(&[&[0x02], &batch.number.to_le_bytes(), &batch.root, &at, &digest]);
    request.log_head = hashv(&[&[0x03], &request.log_head, &leaf]);
    request.append(leaf);
    request.next_batch += 1;
    request.panel_at = now.market;
    request.last_settled_at = now.wall;
    request.invariant()?;

    let entry = &accounts.market.mints[mint_index];
    let mover = market_mover(&accounts.market, accounts.mint.account(), entry);
    let vault = accounts.vault.account();
    let mut owed = 0u64;
    let mut payments = Vec::with_capacity(payees.len());
    for payee in &mut payees {
        let (person, payout) = (&mut *payee.participant, &payee.payout);
        person.bonded_until = person.bonded_until.max(bonded_until);
        let set = person.payout[mint_index];
        let unset = set == Address::default();
        // Otherwise whoever submits could keep a payment from its payee.
        require!(unset || (set == *payout.address() && payout.is_writable()), AssayError::WrongPayout);
        let deliver = !unset && can_receive(payout, entry);
        if !deliver {
            person.owe(mint_index, payee.amount)?;
            owed += payee.amount;
        } else if payee.amount > 0 {
            mover.transfer(vault, payout, payee.amount);
        }
        person.invariant()?;
        payments.push(Payment { amount: payee.amount, owed: !deliver as u8 });
    }
    if owed > 0 {
        mover.transfer(vault, accounts.owed_vault.account(), owed);
    }
    emit!(BatchSettled {
        request: *accounts.request.address(),
        batch: batch.number,
        panel_round: accounts.request.panel_round,
        root: batch.root,
        digest,
        log_head: accounts.request.log_head,
        records: batch.records,
        judged: batch.judged,
        answers: batch.answers,
        votes: batch.votes,
        paid_labelers: to_labelers,
        paid_validators: to_validators,
        fee,
        reserved,
        records_done: accounts.request.records_done,
        payments,
        at: now.market,
    });
    Ok(())
}
