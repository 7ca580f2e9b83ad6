//! Shows signatures of a dispute's panel, any number at a time, by anyone: a signature that is out cannot be withheld
//! by whoever collects them, and who never signed can be told from who did.

use anchor_lang::prelude::*;
use anchor_lang::AnchorAccount;

use crate::error::AssayError;
use crate::events::DisputeVoted;
use crate::signed::each_signature;
use crate::state::{Dispute, Request, DISPUTE_DISMISSED, DISPUTE_UPHELD};

const TAG: &[u8; 16] = b"assay-dispute-v1";
const LENGTH: usize = 85;

#[derive(Accounts)]
pub struct VoteDispute {
    #[account(mut)]
    pub dispute: Account<Dispute>,
    #[account(address = dispute.request)]
    pub request: Account<Request>,
    pub instructions: Sysvar<SysvarInstructions>,
}

pub fn handler(ctx: &mut Context<VoteDispute>) -> Result<()> {
    let accounts = &mut ctx.accounts;
    let dispute = &mut accounts.dispute;
    dispute.require_open()?;
    require!(dispute.panel_count > 0, AssayError::NoPanel);
    let mut expected = [0u8; LENGTH - 1];
    expected[..16].copy_from_slice(TAG);
    expected[16..48].copy_from_slice(&accounts.request.domain);
    expected[48..80].copy_from_slice(dispute.address().as_ref());
    expected[80..].copy_from_slice(&dispute.panel_round.to_le_bytes());
    let seats = dispute.panel_count as usize;
    let (mut upheld, mut dismissed) = (dispute.upheld, dispute.dismissed);
    each_signature(&accounts.instructions, |signer, message| {
        require!(message.len() == LENGTH && message[..LENGTH - 1] == expected, AssayError::WrongMessage);
        let seat = dispute.panel[..seats].iter().position(|wallet| wallet == signer);
        let bit = 1u16 << seat.ok_or(AssayError::NotOnPanel)?;
        // The first vote shown stands; the other one is evidence for slash_equivocation.
        if (upheld | dismissed) & bit == 0 {
            match message[LENGTH - 1] {
                DISPUTE_UPHELD => upheld |= bit,
                DISPUTE_DISMISSED => dismissed |= bit,
                _ => return Err(AssayError::WrongMessage.into()),
            }
        }
        Ok(())
    })?;
    dispute.upheld = upheld;
    dispute.dismissed = dismissed;
    dispute.invariant()?;
    emit!(DisputeVoted { dispute: *dispute.address(), round: dispute.panel_round, upheld, dismissed });
    Ok(())
}
