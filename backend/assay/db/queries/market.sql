-- Requests and the projections of the chain.

-- participant_upsert
insert into participants (wallet, role, stake, unstaking, owed, counters) values ($1, $2, $3, $4, $5::bigint[], $6)
on conflict (wallet) do update set role = excluded.role, stake = excluded.stake, unstaking = excluded.unstaking,
    owed = excluded.owed, counters = excluded.counters, updated_at = now()

-- request_insert
insert into requests (address, buyer, id, title, spec, spec_text, spec_hash, spec_cid, mode, kind, min_tier, mint_index,
    overlap, price, validation_fee, budget, records, deadline, assignment, lease_seconds, gold, first_overlap, confidence_bps)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23)
on conflict do nothing

-- request_info
select address, buyer, id, title, spec, spec_hash, spec_cid, mode, kind, min_tier, mint_index, overlap,
       coalesce(first_overlap, overlap) as first_overlap, confidence_bps, price, validation_fee, budget, records, deadline,
       state, assignment, lease_seconds, domain, posted_signature, created_at, posted_at, closed_at, min_score
from requests where address = $1

-- request_spec
select spec_text from requests where address = $1

-- request_lock
select address, state, gold, domain from requests where address = $1 for update

-- request_open
update requests set state = 'open', domain = $2, posted_signature = $3, posted_at = now(), price = $4, validation_fee = $5,
    budget = $6, deadline = $7
where address = $1 and state = 'draft'

-- request_state
update requests set state = $2, closed_at = case when $2 = 'closed' then coalesce(closed_at, now()) end
where address = $1 and state <> 'draft'
  and array_position(array['open', 'closing', 'closed'], $2) > array_position(array['open', 'closing', 'closed'], state)

-- request_budget
update requests set budget = $2 where address = $1 and budget <> $2

-- requests_with_room
select address from requests r
where state = 'open' and exists (
    select 1 from places p where p.request = r.address and p.room > 0)

-- requests_list
-- $1 state or null, $2 buyer or null, $3 created before, $4 at most, $5 who asks or null: drafts are shown to their buyer only.
select address, buyer, id, title, mode, kind, min_tier, mint_index, overlap,
       coalesce(first_overlap, overlap) as first_overlap, confidence_bps, price, validation_fee, records, deadline, state,
       assignment, created_at, posted_at, min_score
from requests
where ($1::text is null or state = $1) and ($2::bytea is null or buyer = $2) and (state <> 'draft' or buyer = $5::bytea)
  and created_at < $3
order by created_at desc, address limit $4

-- request_progress
select (select count(*) from tasks t where t.request = $1) as tasks,
       (select count(*) from tasks t where t.request = $1 and t.state = 'done') as tasks_done,
       (select count(*) from tasks t where t.request = $1 and t.state = 'rejected') as tasks_waiting,
       (select count(*) from leases l where l.request = $1 and l.expires_at > now()) as leases,
       count(*) as answers,
       count(*) filter (where state in ('submitted', 'judging')) as undecided,
       count(*) filter (where verdict) as accepted,
       count(*) filter (where unpaid) as unpaid,
       count(*) filter (where not verdict) as rejected,
       count(*) filter (where state = 'settled') as settled,
       coalesce(sum(paid), 0)::bigint as paid
from answers a where a.request = $1

-- earnings_settled
-- By mint: what was paid, and what is known to be earned but not paid yet.
select r.mint_index, coalesce(sum(p.amount), 0)::bigint as amount, count(*) as payments
from payments p join requests r on r.address = p.request
where p.wallet = $1 group by r.mint_index order by r.mint_index

-- earnings_pending
select r.mint_index,
       count(*) filter (where a.state in ('submitted', 'judging')) as undecided,
       count(*) filter (where a.state = 'judged' and a.verdict and not a.unpaid) as accepted,
       coalesce(sum(r.price) filter (where a.state in ('submitted', 'judging')), 0)::bigint as possible,
       coalesce(sum(r.price) filter (where a.state = 'judged' and a.verdict and not a.unpaid), 0)::bigint as due
from answers a join requests r on r.address = a.request
where a.labeler = $1 and a.state <> 'settled' group by r.mint_index order by r.mint_index

-- payments_of
select p.request, p.batch, p.role, p.amount, p.owed, p.signature, p.slot, p.paid_at, r.mint_index
from payments p join requests r on r.address = p.request
where p.wallet = $1 and p.paid_at < $2 order by p.paid_at desc limit $3

-- answer_counts
select count(*) as answers, count(*) filter (where verdict) as accepted, count(*) filter (where unpaid) as unpaid,
       count(*) filter (where not verdict) as rejected
from answers where labeler = $1

-- dataset_records
select id, index, item, media_type, state, label, label_hash, confidence, batch, is_gold from tasks
where request = $1 and index >= $2 order by index limit $3

-- dataset_answers
select id, task, labeler, content, content_hash, cid, signature, verdict, unpaid, confidence, evidence, round, state, batch, paid,
       submitted_at, decided_at, settled_at
from answers where task = any($1::bytea[]) order by task, id

-- dataset_votes
select v.answer, v.round, v.voter, v.vote, v.salt, v.commitment, v.signature from votes v
where v.answer = any($1::bytea[]) and v.vote is not null order by v.answer, v.round, v.voter

-- dataset_batches
select batch, root, digest, signature, slot from batches where request = $1 and state = 'settled' and batch = any($2::bigint[])

-- dataset_batch_answers
select id, task, labeler, verdict, unpaid, confidence, evidence, batch from answers where request = $1 and batch = any($2::bigint[])

-- dataset_batch_records
select id, label_hash, confidence, batch from tasks where request = $1 and batch = any($2::bigint[])

-- health
select 1

-- agreement_state
-- What a request's agreement was computed from: it changes exactly when these do.
select (select count(*) from tasks t where t.request = $1 and t.state = 'done') as tasks,
       (select count(*) from answers a where a.request = $1 and a.verdict is not null) as judged

-- agreement_last
select max(index) from tasks where request = $1

-- agreement_answers
-- Answers to decided records of a range of indices, their values as JSON text.
select t.index, a.labeler as rater, (a.content -> 'value')::text as value, (t.label -> 'value')::text as label, a.verdict
from tasks t join answers a on a.task = t.id
where t.request = $1 and t.index >= $2 and t.index < $3 and t.label is not null and a.verdict is not null
order by t.index, a.id

-- agreement_votes
-- Revealed votes on judged answers to tasks of a range of indices.
select t.index, a.id as answer, v.voter as rater, v.vote, a.verdict
from tasks t join answers a on a.task = t.id join votes v on v.answer = a.id and v.round = a.round
where t.request = $1 and t.index >= $2 and t.index < $3 and a.verdict is not null and v.vote is not null
order by t.index, a.decided_at, a.id, v.voter
