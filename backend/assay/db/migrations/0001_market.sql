-- The market's own tables. Chain is the truth for money: everything named a projection here can be made again from it.
-- Addresses, wallets, hashes and ids are raw bytes; money is bigint in base units of the request's mint; confidences are basis points.

create domain key32 as bytea check (octet_length(value) = 32);

-- A request from its draft on. `domain`, and with it the task ids, exist only once the chain shows the posting.
create table requests (
    address          key32 primary key,
    buyer            key32 not null,
    id               bigint not null check (id >= 0),
    title            text not null,
    spec             jsonb not null,
    spec_text        bytea not null,                -- the canonical specification; its sha256 is spec_hash
    spec_hash        key32 not null,
    spec_cid         text not null,
    mode             smallint not null check (mode in (0, 1)),
    kind             smallint not null check (kind between 0 and 7),
    min_tier         smallint not null default 0,
    mint_index       smallint not null default 0,
    overlap          integer not null check (overlap between 1 and 65535),
    price            bigint not null check (price > 0),
    validation_fee   bigint not null check (validation_fee >= 0),
    budget           bigint not null check (budget > 0),   -- what the posting locks
    records          bigint not null check (records > 0),
    deadline         bigint not null,               -- market time, seconds
    state            text not null default 'draft' check (state in ('draft', 'open', 'closing', 'closed')),
    assignment       text not null default 'random' check (assignment in ('random', 'open')),
    lease_seconds    integer not null check (lease_seconds > 0),
    gold             jsonb,                         -- [{index, answer, salt, entry}], the buyer's commitments opened to the market only
    domain           key32,
    posted_signature text,
    created_at       timestamptz not null default now(),
    posted_at        timestamptz,
    closed_at        timestamptz,
    unique (buyer, id)
);
create index requests_by_state on requests (state, created_at desc);

-- One item to be answered. `answers_taken` counts answers and live leases together: a task with room has taken < wanted.
create table tasks (
    id             key32 primary key,
    request        key32 not null references requests on delete cascade,
    index          integer not null check (index >= 0),
    item           text not null,                   -- the item's CID
    media_type     text not null,
    answers_wanted integer not null check (answers_wanted > 0),
    answers_taken  integer not null default 0 check (answers_taken >= 0),
    answers_done   integer not null default 0 check (answers_done >= 0),   -- submitted answers alone
    state          text not null default 'open' check (state in ('open', 'judging', 'done')),
    is_gold        boolean not null default false,
    gold           jsonb,                           -- {answer, salt} of a gold task
    label          jsonb,
    label_hash     key32,
    confidence     integer check (confidence between 0 and 10000),
    shuffle        integer not null,                -- a random place in the queue
    unique (request, index)
);
create index tasks_with_room on tasks (request, shuffle) where state = 'open' and answers_taken < answers_wanted;
create index tasks_undecided on tasks (request, state) where state <> 'done';

-- What a wallet holds now. A lease ends by itself; an answer replaces it.
create table leases (
    task       key32 not null references tasks on delete cascade,
    wallet     key32 not null,
    request    key32 not null,
    expires_at timestamptz not null,
    primary key (task, wallet)
);
create index leases_by_wallet on leases (wallet, expires_at);
create index leases_by_expiry on leases (expires_at);

-- What a wallet does not want to see again.
create table skips (
    task       key32 not null references tasks on delete cascade,
    wallet     key32 not null,
    skipped_at timestamptz not null default now(),
    primary key (task, wallet)
);

create table answers (
    id           key32 primary key,                 -- sha256 of the signed message
    request      key32 not null references requests on delete cascade,
    task         key32 not null references tasks on delete cascade,
    labeler      key32 not null,
    content      jsonb not null,
    content_hash key32 not null,
    cid          text not null,
    signature    bytea not null check (octet_length(signature) = 64),
    state        text not null default 'submitted' check (state in ('submitted', 'judging', 'judged', 'settled')),
    verdict      boolean,                           -- true accepted, false rejected
    confidence   integer check (confidence between 0 and 10000),
    submitted_at timestamptz not null default clock_timestamp(),
    decided_at   timestamptz,
    batch        bigint,
    paid         bigint,                            -- what its settlement paid for it, premium included
    unique (task, labeler)
);
create index answers_undecided on answers (request, submitted_at) where state in ('submitted', 'judging');
create index answers_unsettled on answers (request, decided_at) where state = 'judged';
create index answers_by_labeler on answers (labeler, submitted_at desc);
create index answers_by_batch on answers (request, batch) where batch is not null;

-- Other processes hear of new answers; the same process is called directly.
create function notify_answers() returns trigger language plpgsql as $$
begin
    perform pg_notify('assay_answers', '');         -- equal notifications of one transaction are one
    return null;
end $$;
create trigger answers_notify after insert on answers for each statement execute function notify_answers();

-- Projection of the chain's Participant accounts.
create table participants (
    wallet     key32 primary key,
    role       smallint not null check (role in (1, 2, 3)),
    stake      bigint not null,
    unstaking  bigint not null default 0,
    owed       bigint[] not null default '{0,0,0,0}',
    counters   jsonb not null default '{}',         -- accepted, rejected, agreed, disagreed, gold_passed, gold_failed, ...
    updated_at timestamptz not null default now()
);

-- Projection of settlements: what one batch paid one wallet.
create table payments (
    request    key32 not null references requests on delete cascade,
    batch      bigint not null,
    wallet     key32 not null,
    role       smallint not null check (role in (2, 3)),
    amount     bigint not null check (amount >= 0),
    owed       boolean not null default false,      -- true: could not be delivered and waits to be claimed
    signature  text not null,
    slot       bigint not null,
    paid_at    timestamptz not null default now(),
    primary key (request, batch, wallet)
);
create index payments_by_wallet on payments (wallet, paid_at desc);

-- Items that buyers uploaded (the bytes are in the store, under the CID).
create table items (
    cid         text primary key,
    media_type  text not null,
    size        bigint not null check (size >= 0),
    width       integer,
    height      integer,
    phash       bigint,
    uploaded_by key32,
    created_at  timestamptz not null default now()
);

-- Sign-in. A challenge is used once; of a token only its hash is kept.
create table challenges (
    nonce      text primary key,
    wallet     key32 not null,
    message    text not null,
    expires_at timestamptz not null
);
create index challenges_by_expiry on challenges (expires_at);
create table sessions (
    token_hash key32 primary key,
    wallet     key32 not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index sessions_by_expiry on sessions (expires_at);
