//! Assay: escrow, stake, settlement and reputation of a marketplace for AI training data.
//!
//! `docs/protocol.md` says what is signed and hashed; `docs/program.md` lists accounts, instructions and errors.
#![cfg_attr(target_os = "solana", no_std)]

extern crate alloc;

use alloc::vec::Vec;

use anchor_lang::prelude::*;

pub mod constants;
pub mod drawing;
pub mod error;
pub mod events;
pub mod instructions;
pub mod math;
pub mod seats;
pub mod signed;
pub mod slashing;
pub mod slots;
pub mod state;
pub mod strikes;
pub mod token;

use instructions::*;
use state::Params;

declare_id!("3Yo91yiiAfgVUDci9sBTVoeMmqXedmQXmzRFuEgFiT3z");

#[program]
pub mod assay {
    use super::*;

    /// Creates the market with its first mint, in which stakes and bonds are held.
    pub fn initialize_market(ctx: &mut Context<InitializeMarket>, params: Params) -> Result<()> {
        instructions::initialize_market::handler(ctx, params)
    }

    /// Sets the parameters of requests to come.
    pub fn update_params(ctx: &mut Context<UpdateParams>, params: Params) -> Result<()> {
        instructions::update_params::handler(ctx, params)
    }

    /// Stops new work and the market's clock.
    pub fn pause(ctx: &mut Context<Pause>) -> Result<()> {
        instructions::pause::handler(ctx)
    }

    /// Ends a pause.
    pub fn unpause(ctx: &mut Context<Unpause>) -> Result<()> {
        instructions::unpause::handler(ctx)
    }

    /// Names who may become the market's authority; the zero address takes it back.
    pub fn propose_authority(ctx: &mut Context<ProposeAuthority>, pending: Address) -> Result<()> {
        instructions::propose_authority::handler(ctx, pending)
    }

    /// The proposed authority takes over.
    pub fn accept_authority(ctx: &mut Context<AcceptAuthority>) -> Result<()> {
        instructions::accept_authority::handler(ctx)
    }

    /// Lets requests pay in a mint that nobody can drain, tax, freeze by default or hide.
    pub fn allow_mint(ctx: &mut Context<AllowMint>) -> Result<()> {
        instructions::allow_mint::handler(ctx)
    }

    /// No more requests in a mint.
    pub fn disable_mint(ctx: &mut Context<DisableMint>) -> Result<()> {
        instructions::disable_mint::handler(ctx)
    }

    /// The authority takes fees that were collected.
    pub fn withdraw_fees(ctx: &mut Context<WithdrawFees>, amount: u64) -> Result<()> {
        instructions::withdraw_fees::handler(ctx, amount)
    }

    /// Registers a wallet in a role, for good. Anyone may pay the rent.
    pub fn register(ctx: &mut Context<Register>, role: u8) -> Result<()> {
        instructions::register::handler(ctx, role)
    }

    /// Where a participant is paid in one mint.
    pub fn set_payout(ctx: &mut Context<SetPayout>) -> Result<()> {
        instructions::set_payout::handler(ctx)
    }

    /// Adds to the signer's stake.
    pub fn stake(ctx: &mut Context<Stake>, amount: u64) -> Result<()> {
        instructions::stake::handler(ctx, amount)
    }

    /// Starts an exit; a second one joins the first and restarts its window.
    pub fn request_unstake(ctx: &mut Context<RequestUnstake>, amount: u64) -> Result<()> {
        instructions::request_unstake::handler(ctx, amount)
    }

    /// Takes an exit back.
    pub fn cancel_unstake(ctx: &mut Context<CancelUnstake>) -> Result<()> {
        instructions::cancel_unstake::handler(ctx)
    }

    /// Pays out stake whose window is over.
    pub fn withdraw_stake(ctx: &mut Context<WithdrawStake>) -> Result<()> {
        instructions::withdraw_stake::handler(ctx)
    }

    /// Posts a request and locks its whole budget.
    pub fn post_request(ctx: &mut Context<PostRequest>, id: u64, args: PostRequestArgs) -> Result<()> {
        instructions::post_request::handler(ctx, id, args)
    }

    /// Adds to an open request's budget.
    pub fn top_up_request(ctx: &mut Context<TopUpRequest>, amount: u64) -> Result<()> {
        instructions::top_up_request::handler(ctx, amount)
    }

    /// Fixes the seed slot of a panel; called again, draws it.
    pub fn draw_panel(ctx: &mut Context<DrawPanel>) -> Result<()> {
        instructions::draw_panel::handler(ctx)
    }

    /// Pays a batch that a quorum of the panel has signed in the Ed25519 instruction before this one.
    #[inline(always)]
    pub fn settle_batch(
        ctx: &mut Context<SettleBatch>,
        batch: u64,
        root: [u8; 32],
        records: u16,
        judged: u16,
        answers: u16,
        votes: u32,
        tallies: Vec<Tally>,
    ) -> Result<()> {
        let batch = Batch { number: batch, root, records, judged, answers, votes };
        instructions::settle_batch::handler(ctx, batch, tallies)
    }

    /// Pays out what could not be delivered.
    pub fn claim_owed(ctx: &mut Context<ClaimOwed>) -> Result<()> {
        instructions::claim_owed::handler(ctx)
    }

    /// Moves a request's fees to the fee vault.
    pub fn collect_fees(ctx: &mut Context<CollectFees>) -> Result<()> {
        instructions::collect_fees::handler(ctx)
    }

    /// The buyer stops a request.
    pub fn cancel_request(ctx: &mut Context<CancelRequest>) -> Result<()> {
        instructions::cancel_request::handler(ctx)
    }

    /// Ends a request past its deadline.
    pub fn expire_request(ctx: &mut Context<ExpireRequest>) -> Result<()> {
        instructions::expire_request::handler(ctx)
    }

    /// Refunds what nobody can claim; again later for what disputes have released.
    pub fn close_request(ctx: &mut Context<CloseRequest>) -> Result<()> {
        instructions::close_request::handler(ctx)
    }

    /// Removes a swept request and returns its rent.
    pub fn reap_request(ctx: &mut Context<ReapRequest>) -> Result<()> {
        instructions::reap_request::handler(ctx)
    }

    /// Takes a slash of stake from a participant whose strikes are more than chance explains. Open to anyone.
    pub fn slash_outlier(ctx: &mut Context<SlashOutlier>) -> Result<()> {
        instructions::slash_outlier::handler(ctx)
    }

    /// Slashes a validator for two signatures under one batch number, or under one dispute's round. Open to anyone.
    /// `key` is the sha256 of what the two messages share.
    pub fn slash_equivocation(ctx: &mut Context<SlashEquivocation>, key: [u8; 32]) -> Result<()> {
        instructions::slash_equivocation::handler(ctx, key)
    }

    /// A labeler disputes the rejection of its answer, with proofs and a bond.
    #[allow(clippy::too_many_arguments)]
    pub fn open_dispute(
        ctx: &mut Context<OpenDispute>,
        answer_id: [u8; 32],
        task_id: [u8; 32],
        confidence: u16,
        evidence: [u8; 32],
        batch: u64,
        index: u32,
        settled_at: i64,
        digest: [u8; 32],
        proof: Vec<[u8; 32]>,
        log_proof: Vec<[u8; 32]>,
    ) -> Result<()> {
        let rejection = Rejection {
            answer_id,
            task_id,
            confidence,
            evidence,
            batch,
            index,
            settled_at,
            digest,
            proof: &proof,
            log_proof: &log_proof,
        };
        instructions::open_dispute::handler(ctx, rejection)
    }

    /// Draws a dispute's panel, in two calls; a panel that did not decide in time is replaced. Open to anyone.
    pub fn draw_dispute_panel(ctx: &mut Context<DrawDisputePanel>) -> Result<()> {
        instructions::draw_dispute_panel::handler(ctx)
    }

    /// Shows signatures of a dispute's panel. Open to anyone.
    pub fn vote_dispute(ctx: &mut Context<VoteDispute>) -> Result<()> {
        instructions::vote_dispute::handler(ctx)
    }

    /// Ends a dispute as a quorum of its panel decided. Open to anyone.
    pub fn resolve_dispute(ctx: &mut Context<EndDispute>) -> Result<()> {
        instructions::end_dispute::resolve_dispute::handler(ctx)
    }

    /// Ends a dispute that no panel decided in its time: the bond goes back, nobody is paid. Open to anyone.
    pub fn expire_dispute(ctx: &mut Context<EndDispute>) -> Result<()> {
        instructions::end_dispute::expire_dispute::handler(ctx)
    }

    /// After a dispute was upheld, turns the votes behind the rejection into what they should have counted. Open to anyone.
    pub fn correct_votes(ctx: &mut Context<CorrectVotes>, votes: Vec<Vote>) -> Result<()> {
        instructions::correct_votes::handler(ctx, &votes)
    }

    /// Returns the rent of a dispute that is over for good. Open to anyone.
    pub fn close_dispute(ctx: &mut Context<CloseDispute>) -> Result<()> {
        instructions::close_dispute::handler(ctx)
    }
}
