-- What a validator signed of a batch beside the standing proposal: with one more signature under the same number it is
-- what the program slashes. It outlives the proposal.
create table stray_signatures (
    request     key32 not null,
    batch       bigint not null check (batch >= 0),
    panel_round bigint not null,
    validator   key32 not null,
    digest      key32 not null,
    signature   bytea not null check (octet_length(signature) = 64),
    received_at timestamptz not null default clock_timestamp(),
    tried_at    timestamptz not null default '-infinity',
    slashed_at  timestamptz,                        -- since when the chain is known to have the Offence
    primary key (request, batch, panel_round, validator, digest)
);
create index stray_signatures_open on stray_signatures (tried_at) where slashed_at is null;

-- A proposal that is taken back leaves its signatures as evidence: who signs the next under its number signs twice.
create function keep_signatures() returns trigger language plpgsql as $$
begin
    insert into stray_signatures (request, batch, panel_round, validator, digest, signature, received_at)
    select request, batch, panel_round, validator, old.digest, signature, received_at from batch_signatures
    where request = old.request and batch = old.batch and signature is not null
    on conflict do nothing;
    return old;
end $$;
create trigger batches_keep_signatures before delete on batches for each row execute function keep_signatures();

-- Who was slashed is told so.
create index slashed_events on chain_events ((data ->> 'wallet')) where name = 'Slashed';
