-- The first vote of each seat of a dispute's panels that the market was sent, or saw on chain, and the opposite one where
-- the same seat signed that too: with both the program slashes it.
create table dispute_votes (
    dispute         key32 not null,
    panel_round     bigint not null,
    validator       key32 not null,
    request         key32 not null,
    outcome         smallint not null check (outcome in (1, 2)),
    signature       bytea not null check (octet_length(signature) = 64),
    other_signature bytea check (octet_length(other_signature) = 64),
    received_at     timestamptz not null default clock_timestamp(),
    tried_at        timestamptz not null default '-infinity',
    slashed_at      timestamptz,                    -- since when the chain is known to have the Offence
    primary key (dispute, panel_round, validator)
);
create index dispute_votes_twice on dispute_votes (tried_at) where other_signature is not null and slashed_at is null;
