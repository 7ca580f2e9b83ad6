//! What can go wrong, in one enum: each message says what is wrong and what would be right.

use anchor_lang::prelude::*;

#[error_code]
pub enum AssayError {
    #[msg("Only the program's upgrade authority, or the key fixed at its build, can create the market")]
    NotInitializer,
    #[msg("This needs the market's authority as signer")]
    NotAuthority,
    #[msg("This needs the authority that propose_authority named as signer")]
    NotPendingAuthority,
    #[msg("The market is paused: new work waits; exits, claims, refunds and settlement go on")]
    Paused,
    #[msg("The market is not paused, so there is nothing to unpause")]
    NotPaused,
    #[msg("A parameter is outside of its bounds; docs/program.md lists them")]
    ParameterOutOfBounds,
    #[msg("The market's four mints are taken; disable_mint frees none, since vaults hold owed money")]
    TooManyMints,
    #[msg("This mint is not on the market's list, or is not the one the request pays in")]
    WrongMint,
    #[msg("This mint is disabled: post in an enabled one")]
    MintDisabled,
    #[msg("The mint has a permanent delegate, who could empty every vault: use a mint without")]
    MintHasPermanentDelegate,
    #[msg("The mint has a transfer hook, a foreign program in every payment: use a mint without")]
    MintHasTransferHook,
    #[msg("The mint has a transfer fee, so that less arrives than is sent: use a mint without")]
    MintHasTransferFee,
    #[msg("The mint freezes new accounts by default: use a mint that does not")]
    MintDefaultFrozen,
    #[msg("The mint's tokens cannot be transferred: use a mint whose tokens can")]
    MintNonTransferable,
    #[msg("The mint has confidential transfers, whose amounts the books cannot see: use a mint without")]
    MintConfidential,
    #[msg("The mint can be paused by its authority: use a mint that cannot")]
    MintPausable,
    #[msg("The mint has an extension that is not on the list of harmless ones (metadata and group pointers)")]
    MintExtensionUnknown,
    #[msg("This is not an initialized mint of the Token or Token-2022 program")]
    NotAMint,
    #[msg("The token account is not an initialized one of the right mint and token program")]
    WrongTokenAccount,
    #[msg("The token account must belong to the wallet that is paid")]
    PayoutNotOwned,
    #[msg("The role must be 1 (buyer), 2 (labeler) or 3 (validator)")]
    UnknownRole,
    #[msg("This participant has another role than this place asks for")]
    WrongRole,
    #[msg("The amount must be more than zero and below 2^56")]
    BadAmount,
    #[msg("A stake may not stay between zero and the role's minimum: stake more, or take all of it out")]
    BelowMinimumStake,
    #[msg("There is not that much active stake to take out")]
    InsufficientStake,
    #[msg("No stake is being taken out")]
    NothingUnstaking,
    #[msg("The unstaking window is not over yet")]
    StillUnstaking,
    #[msg("Judgements of the last dispute window are pending on this stake: try again when bonded_until has passed")]
    StillBonded,
    #[msg("The mode must be 0 (agreement) or 1 (review)")]
    UnknownMode,
    #[msg("The kind must be 0 to 7")]
    UnknownKind,
    #[msg("The tier must be 0 to 3 and premiums must not fall from tier to tier")]
    BadTier,
    #[msg("overlap must be 1 to 100, and 1 in review mode")]
    BadOverlap,
    #[msg("records must be at least 1")]
    NoRecords,
    #[msg("The price must be more than zero")]
    BadPrice,
    #[msg("The deadline must lie in the future of market time, at most a year ahead")]
    BadDeadline,
    #[msg("The amount must cover at least one record: its answers at the highest premium, validation and market fee")]
    BudgetTooSmall,
    #[msg("The request is not open")]
    NotOpen,
    #[msg("The request is closed, or its grace period is over")]
    NotSettling,
    #[msg("The request's work goes on: it ends when done, or after cancel_request or expire_request and the grace period")]
    StillOpen,
    #[msg("The request's deadline has not passed yet")]
    NotExpired,
    #[msg("The request is not closed, or something of it is still reserved, bonded or uncollected")]
    NotSwept,
    #[msg("The request's accounts must be kept until the unstake window after its last batch, as evidence")]
    StillEvidence,
    #[msg("This buyer is not the request's")]
    WrongBuyer,
    #[msg("The panel is in office: its term is not over and it has not timed out")]
    PanelInOffice,
    #[msg("Fewer validators are in the set than the request's panel has seats: wait for more to stake")]
    NotEnoughValidators,
    #[msg("The seed slot's hash is not known yet: try again in the next slot")]
    SeedNotReady,
    #[msg("The SlotHashes sysvar is empty: try again in the next slot")]
    NoSlotHash,
    #[msg("The request has no panel yet: call draw_panel twice")]
    NoPanel,
    #[msg("The batch number must be the request's next one")]
    WrongBatch,
    #[msg("The instruction right before this one must be the Ed25519 program's")]
    NoSignatures,
    #[msg("The Ed25519 instruction must hold all its keys, signatures and one 92-byte message within itself (0xFFFF)")]
    BadSignatureLayout,
    #[msg("What was signed is not this batch: check domain, batch number, panel round and digest")]
    WrongMessage,
    #[msg("A signer is not on the request's panel of this round")]
    NotOnPanel,
    #[msg("A panel member signed twice in one instruction")]
    DuplicateSigner,
    #[msg("Too few of the panel signed: a quorum is needed")]
    NoQuorum,
    #[msg("Accounts after the fixed ones must be a Participant and a payout account for each tally, then for each co-signer in agreement mode")]
    WrongAccountCount,
    #[msg("An account is not a Participant of this program, or not writable")]
    NotAParticipant,
    #[msg("Tallies must be in strictly ascending order of Participant address, so that nobody stands twice")]
    TalliesOutOfOrder,
    #[msg("A payout account is not the one that the participant set with set_payout")]
    WrongPayout,
    #[msg("The co-signers' Participants must follow in the order of the signatures")]
    WrongCosigner,
    #[msg("A tally's gold answers are more than its good or bad ones")]
    BadGold,
    #[msg("The labelers' answers do not add up to the batch's answers")]
    AnswersDoNotAddUp,
    #[msg("The validators' votes do not add up to the batch's votes")]
    VotesDoNotAddUp,
    #[msg("The validators' fee units do not add up to 2520 for each judged record")]
    UnitsDoNotAddUp,
    #[msg("records, judged and answers do not fit the request's mode")]
    RecordsDoNotFit,
    #[msg("The batch has more records than the request still wants")]
    TooManyRecords,
    #[msg("The request's escrow does not cover this batch: top it up")]
    EscrowTooSmall,
    #[msg("Nothing is owed to this participant in this mint")]
    NothingOwed,
    #[msg("There are no fees to collect")]
    NoFees,
    #[msg("The account a payment should go to cannot receive it: give one that can")]
    CannotReceive,
    #[msg("An amount left its range; nothing was changed")]
    Overflow,
    #[msg("The books would not balance; nothing was changed")]
    InvariantBroken,
    #[msg("The validator set is full of larger stakes: stake more than the smallest of them")]
    ValidatorSetFull,
    #[msg("Strikes and judgements since the last slash are within what chance explains")]
    NotAnOutlier,
    #[msg("This participant has no stake to slash, or the market slashes nothing")]
    NothingToSlash,
    #[msg("Accounts after the fixed ones must be the harmed buyers' Participants, in the order of the participant's harms")]
    WrongHarmed,
    #[msg("The two messages must be one validator's, alike but for their digest or outcome: same domain, number and round")]
    NotEquivocation,
    #[msg("The request's terms allow no disputes, or there is none to draw, vote on or end")]
    NoDisputes,
    #[msg("The dispute window of this batch is over, or the time given is not the batch's")]
    DisputeWindowOver,
    #[msg("The answer's entry and proofs do not lead to the request's log: prove it against the peaks of now")]
    WrongProof,
    #[msg("The dispute has ended")]
    DisputeOver,
    #[msg("The dispute's panel still has time to decide, or has decided: resolve it")]
    DisputeInOffice,
    #[msg("Every round of the dispute is used up: expire it")]
    NoMoreRounds,
    #[msg("A quorum of the dispute's panel has not decided yet")]
    NotDecided,
    #[msg("Accounts after the fixed ones must be the Participants of these panel seats, in the panel's order")]
    WrongSeats,
    #[msg("The votes do not hash to the rejection's evidence: give all of them, sorted by voter")]
    WrongEvidence,
    #[msg("There are no votes to set right: the dispute was not upheld, the mode is agreement, or it is done")]
    NothingToCorrect,
    #[msg("The dispute is open, its votes are to be set right, or its window is not over")]
    DisputeKept,
    #[msg("A labeler's units must be 0 in review, and at most its good answers in agreement: those that are not paid")]
    BadUnpaid,
}
