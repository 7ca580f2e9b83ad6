//! Participants of a dispute's panel, given as the accounts after the fixed ones.

use anchor_lang::prelude::*;

use crate::error::AssayError;
use crate::state::Participant;

pub struct Seats<'a> {
    pub wallets: &'a [Address],
    /// A bit for each seat that must be given.
    pub chosen: u16,
    /// Their Participants, in the panel's order.
    pub accounts: &'a [AccountView],
}

/// Calls `visit(seat, participant)` for each chosen seat.
#[inline(always)]
pub fn each_seat(seats: &Seats, mut visit: impl FnMut(usize, &mut Participant) -> Result<()>) -> Result<()> {
    require!(seats.accounts.len() == seats.chosen.count_ones() as usize, AssayError::WrongSeats);
    let mut next = 0;
    for (seat, wallet) in seats.wallets.iter().enumerate() {
        if (seats.chosen >> seat) & 1 == 0 {
            continue;
        }
        // SAFETY: seats are different wallets, so no account is given twice; declared ones cannot be given again.
        let mut person = unsafe { Account::<Participant>::load_mut(seats.accounts[next]) }
            .map_err(|_| AssayError::NotAParticipant)?;
        require!(person.wallet == *wallet, AssayError::WrongSeats);
        visit(seat, &mut person)?;
        person.invariant()?;
        next += 1;
    }
    Ok(())
}
