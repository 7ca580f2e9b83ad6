-- When each wallet was judged, by kind of task and day of market time: what a score that fades is made of. The chain's
-- counters have no times, its events have. Kept by whoever takes the events, once each, and made anew from them.
create table judgements (
    wallet key32 not null,
    kind   smallint not null check (kind between 0 and 7),
    day    integer not null,                        -- market time of the batch's settlement / 86,400
    good   integer not null check (good >= 0),
    bad    integer not null check (bad >= 0),
    primary key (wallet, kind, day)
);

-- Adds to what wallets were judged at a time; what a dispute turns over is taken off again.
create function judge(wallets bytea[], kind_ integer, at_ bigint, goods integer[], bads integer[]) returns void
language sql as $$
    insert into judgements (wallet, kind, day, good, bad)
    select u.wallet, kind_, at_ / 86400, 0, 0 from unnest(wallets) as u (wallet)
    on conflict do nothing;
    update judgements j set good = greatest(j.good + u.good, 0), bad = greatest(j.bad + u.bad, 0)
    from unnest(wallets, goods, bads) as u (wallet, good, bad)
    where j.wallet = u.wallet and j.kind = kind_ and j.day = at_ / 86400;
$$;

create index dispute_events on chain_events ((data ->> 'dispute')) where data ? 'dispute';

-- Live estimates take a request's answers in the order in which they came.
create index answers_in_order on answers (request, submitted_at);

-- The score that a request asks for, basis points; 0: none.
alter table requests add column min_score integer not null
    generated always as (coalesce((spec #>> '{limits,min_score_bps}')::integer, 0)) stored;
