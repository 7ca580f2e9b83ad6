-- Judgements by day, from the chain's events.

-- judged_batch
-- Request $1, batch $2, settled at market time $3. A tally is the role, good and bad as u16, and more.
select judge(b.participants, r.kind, $3,
    array(select get_byte(u.tally, 1) + 256 * get_byte(u.tally, 2) from unnest(b.tallies) with ordinality as u (tally, n) order by n),
    array(select get_byte(u.tally, 3) + 256 * get_byte(u.tally, 4) from unnest(b.tallies) with ordinality as u (tally, n) order by n))
from batches b join requests r on r.address = b.request where b.request = $1 and b.batch = $2

-- judged_upheld
-- The rejection of answer $1 is an acceptance after all.
select judge(array[a.labeler::bytea], r.kind, b.settled_time, array[1], array[-1])
from answers a join requests r on r.address = a.request join batches b on b.request = a.request and b.batch = a.batch
where a.id = $1 and b.settled_time is not null

-- judged_dispute
-- Wallets $2 voted on the dispute over answer $1: $3 right, $4 wrong.
select judge($2::bytea[], r.kind, b.settled_time, $3::integer[], $4::integer[])
from answers a join requests r on r.address = a.request join batches b on b.request = a.request and b.batch = a.batch
where a.id = $1 and b.settled_time is not null

-- judged_corrected
-- The votes that rejected answer $1 were wrong, and those that accepted it right.
select judge(array_agg(v.voter::bytea), min(r.kind), min(b.settled_time),
    array_agg(case when v.vote then 1 else -1 end), array_agg(case when v.vote then -1 else 1 end))
from answers a join requests r on r.address = a.request join batches b on b.request = a.request and b.batch = a.batch
    join votes v on v.answer = a.id and v.round = a.round
where a.id = $1 and v.vote is not null and b.settled_time is not null having count(*) > 0

-- dispute_events
-- What is known of dispute $1 (base58), event by event.
select name, data from chain_events where data ->> 'dispute' = $1 and data ? 'dispute'

-- judgement_events
-- In the order in which they came: a correction takes off what must have been counted before.
select name, data - 'payments' as data from chain_events where name = any($1::text[]) order by received_at, slot, index

-- judgements_clear
delete from judgements

-- judgements_of
-- By kind and day of a wallet, of day $2 and later.
select kind, day, good, bad from judgements where wallet = $1 and day > $2 order by kind, day

-- judgements_in
-- The same of one kind.
select day, good, bad from judgements where wallet = $1 and kind = $3 and day > $2 order by day
