-- From answer to payment: review rounds and their votes, settlement proposals and their signatures, the indexer's cursor.

-- What an answer's entry in the batch tree says beyond its verdict; a record's entry stands in one batch of its own.
alter table answers add column evidence key32, add column round smallint, add column settled_at timestamptz;
alter table tasks add column decided_at timestamptz, add column batch bigint;
create index tasks_unsettled on tasks (request) where batch is null and answers_done > 0;

-- A review round: one panel judges one answer. Commits first, then reveals; nobody sees a vote before the commits close.
create table rounds (
    answer       key32 not null references answers on delete cascade,
    round        smallint not null check (round between 0 and 255),
    request      key32 not null references requests on delete cascade,
    panel_round  bigint not null,
    panel        bytea[] not null,                  -- wallets, as drawn on chain
    state        text not null default 'commit' check (state in ('commit', 'reveal', 'decided', 'failed')),
    opened_at    timestamptz not null default clock_timestamp(),
    commit_until timestamptz not null,
    reveal_until timestamptz,                       -- set when the commits close
    closed_at    timestamptz,
    primary key (answer, round)
);
create unique index rounds_live on rounds (answer) where state in ('commit', 'reveal');
create index rounds_by_deadline on rounds (state, commit_until, reveal_until) where state in ('commit', 'reveal');

create table votes (
    answer       key32 not null,
    round        smallint not null,
    voter        key32 not null,
    commitment   key32 not null,
    signature    bytea not null check (octet_length(signature) = 64),
    committed_at timestamptz not null default clock_timestamp(),
    vote         boolean,
    salt         key32,
    revealed_at  timestamptz,
    primary key (answer, round, voter),
    foreign key (answer, round) references rounds on delete cascade,
    check ((vote is null) = (salt is null))
);
create index votes_by_voter on votes (voter, committed_at desc);

-- A batch as it was proposed. It is written before anybody is asked to sign and never changes: a settler that starts again
-- proposes the same bytes, since a validator signs one digest for a batch and panel round and no other.
create table batches (
    request       key32 not null references requests on delete cascade,
    batch         bigint not null check (batch >= 0),
    root          key32 not null,
    digest        key32 not null,
    records       integer not null,
    judged        integer not null,
    answers       integer not null,
    votes         bigint not null,
    participants  bytea[] not null,                 -- wallets in order of the tallies
    tallies       bytea[] not null,                 -- 12 bytes each
    body          text not null,                    -- what the panel is shown: JSON
    state         text not null default 'proposed' check (state in ('proposed', 'settled')),
    proposed_at   timestamptz not null default clock_timestamp(),
    submitted_at  timestamptz,
    settled_at    timestamptz,
    panel_round   bigint,                           -- of the panel whose signatures settled it
    signers       bytea[],                          -- in the order of the Ed25519 instruction
    signature     text,                             -- of the transaction that settled it
    slot          bigint,
    compute_units bigint,
    primary key (request, batch)
);
create unique index batches_one_open on batches (request) where state = 'proposed';

-- What a panel member said of a proposal: a signature, or why not.
create table batch_signatures (
    request     key32 not null,
    batch       bigint not null,
    panel_round bigint not null,
    validator   key32 not null,
    signature   bytea check (octet_length(signature) = 64),
    refusal     text,
    detail      text,
    received_at timestamptz not null default clock_timestamp(),
    primary key (request, batch, panel_round, validator),
    foreign key (request, batch) references batches on delete cascade,
    check ((signature is null) <> (refusal is null))
);

-- The program's events as the indexer saw them, once each.
create table chain_events (
    signature   text not null,
    index       integer not null,
    slot        bigint not null,
    name        text not null,
    data        jsonb not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (signature, index)
);
create index chain_events_by_slot on chain_events (slot);

-- How far a reader has come.
create table cursors (
    name  text primary key,
    value jsonb not null
);

-- The address lookup tables of a request; what stands in them is read from the chain.
create table lookup_tables (
    address   key32 primary key,
    request   key32 not null references requests on delete cascade
);
create index lookup_tables_by_request on lookup_tables (request);

-- Other processes hear of votes and signatures; the same process is called directly.
create function notify_votes() returns trigger language plpgsql as $$
begin
    perform pg_notify('assay_votes', '');
    return null;
end $$;
create trigger votes_notify after insert or update on votes for each statement execute function notify_votes();
create trigger batch_signatures_notify after insert or update on batch_signatures
    for each statement execute function notify_votes();
