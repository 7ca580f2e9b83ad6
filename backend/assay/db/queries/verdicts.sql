-- Verdicts and their settlement.

-- answers_of_tasks
select id, request, task, labeler, content, content_hash, signature, submitted_at, state, verdict, confidence, evidence, round,
       decided_at, batch, turn
from answers where task = any($1::bytea[]) order by task, id

-- tasks_decide
update tasks t
set state = 'done', label = u.label, label_hash = u.label_hash, confidence = u.confidence, decided_at = u.decided_at
from unnest($1::bytea[], $2::jsonb[], $3::bytea[], $4::int[], $5::timestamptz[]) as u (id, label, label_hash, confidence, decided_at)
where t.id = u.id and t.decided_at is null

-- request_for_settlement
select address, mode, state, domain, gold from requests where address = $1

-- requests_unsettled
-- Requests with something to settle: an open proposal, or answers that are not settled. In the order of an index: an
-- "exists" may be planned as a look at all answers.
select r.address, r.mode from requests r
where r.state in ('open', 'closing') and r.domain is not null and coalesce(
    (select true from batches b where b.request = r.address and b.state = 'proposed' limit 1),
    (select true from answers a where a.request = r.address and a.batch is null order by a.labeler limit 1), false)

-- tasks_due
-- Tasks of a request by agreement whose verdicts can be settled: they have all their answers, or can get no more, or were
-- decided before and have answers left to settle.
select t.id, t.index, t.item, t.is_gold, t.gold, t.decided_at, t.due_at, t.answers_wanted, t.points
from tasks t
where t.request = $1 and t.batch is null and t.due_at is not null
order by t.due_at
limit $2

-- tasks_more
-- Tasks $1, which have all their answers, take one more, asked for by the model of point $2; a trigger gives them their room
-- and the log of hand-outs its lines.
with chosen as (
    select id from tasks where id = any($1::bytea[]) and batch is null and due_at is not null order by id for no key update
)
update tasks t set answers_wanted = answers_wanted + 1, points = points || $2::integer from chosen where t.id = chosen.id

-- tasks_closing
-- Tasks of a closing request that can get no more answers, since nobody holds a lease, are due as they are; $2 at once.
-- A lease that has ended counts until it is swept: an answer may still come by it, and a verdict rests on all answers.
update tasks t set due_at = (select max(a.submitted_at) from answers a where a.task = t.id)
where t.id = any(array(
    select u.id from tasks u
    where u.request = $1 and u.batch is null and u.due_at is null and u.answers_done > 0
      and not exists (select 1 from leases l where l.task = u.id)
    limit $2)) and t.due_at is null

-- answers_due
-- Answers of a request by review whose verdicts stand and are not settled.
select a.id, a.task, a.labeler, a.content, a.signature, a.round, a.verdict, a.decided_at as due_at,
       t.index, t.item, t.is_gold, t.gold
from answers a join tasks t on t.id = a.task
where a.request = $1 and a.state = 'judged' and a.batch is null
order by a.decided_at
limit $2

-- due_agreement
-- When the oldest task that waits for settlement became due, and how many wait, counted up to $2.
select min(due_at) as since, count(*) as waiting from (
    select t.due_at from tasks t where t.request = $1 and t.batch is null and t.due_at is not null
    order by t.due_at limit $2) due

-- due_review
-- The same of answers by review whose verdicts stand.
select min(decided_at) as since, count(*) as waiting from (
    select a.decided_at from answers a where a.request = $1 and a.state = 'judged' and a.batch is null
    order by a.decided_at limit $2) due

-- answers_batched
-- $1 ids, $2 verdicts, $3 which of them are right and not paid, $4 confidences, $5 evidence, $6 decided at, $7 batch
update answers a
set state = 'judged', verdict = u.verdict, unpaid = u.unpaid, confidence = u.confidence, evidence = u.evidence,
    decided_at = coalesce(a.decided_at, u.decided_at), batch = $7
from unnest($1::bytea[], $2::bool[], $3::bool[], $4::int[], $5::bytea[], $6::timestamptz[])
    as u (id, verdict, unpaid, confidence, evidence, decided_at)
where a.id = u.id and a.batch is null and a.state in ('submitted', 'judging', 'judged')

-- records_batched
update tasks set batch = $2 where id = any($1::bytea[]) and batch is null

-- batch_insert
insert into batches (request, batch, root, digest, records, judged, answers, votes, participants, tallies, body)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- batch_withdraw
delete from batches where request = $1 and batch = $2 and digest = $3 and state = 'proposed' returning 1

-- answers_unbatched
update answers set batch = null where request = $1 and batch = $2 and state = 'judged'

-- records_unbatched
update tasks set batch = null where request = $1 and batch = $2

-- batch_open
select * from batches where request = $1 and state = 'proposed'

-- batch_by_number
select * from batches where request = $1 and batch = $2

-- batches_settled
select * from batches where request = $1 and state = 'settled' and batch >= $2 order by batch limit $3

-- proposals_open
-- Open proposals of the requests $1.
select b.*, q.domain from batches b join requests q on q.address = b.request where b.state = 'proposed' and q.state in ('open', 'closing')

-- batch_signature
-- The first signature of a validator stands; a refusal gives way to a signature. One that a crash loses is asked for again,
-- so this commit does not wait for the disk.
insert into batch_signatures (request, batch, panel_round, validator, signature, refusal, detail)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (request, batch, panel_round, validator) do update
set signature = excluded.signature, refusal = excluded.refusal, detail = excluded.detail, received_at = clock_timestamp()
where batch_signatures.signature is null
returning set_config('synchronous_commit', 'off', true)

-- batch_signatures_of
select validator, signature, refusal, detail from batch_signatures
where request = $1 and batch = $2 and panel_round = $3 order by received_at

-- batch_submitted
-- Waits for the disk, and with it the signatures before it: who co-signed is paid, and only this says who it was.
update batches set submitted_at = clock_timestamp(), panel_round = $3, signers = $4
where request = $1 and batch = $2 and state = 'proposed'

-- batch_settled
update batches set state = 'settled', settled_at = clock_timestamp(), panel_round = $3, signature = $4, slot = $5, compute_units = $6,
       signers = $7, settled_time = $8
where request = $1 and batch = $2 and state = 'proposed'

-- batch_cosigned
-- The signatures that landed, as the chain has them: others may have been brought to it than those taken here.
with named as (update batches set signers = $4 where request = $1 and batch = $2 and signers is distinct from $4)
insert into batch_signatures (request, batch, panel_round, validator, signature)
select $1, $2, $3, u.validator, u.signature from unnest($4::bytea[], $5::bytea[]) as u (validator, signature)
on conflict (request, batch, panel_round, validator) do update
set signature = excluded.signature, refusal = null, detail = null
where batch_signatures.signature is distinct from excluded.signature

-- answers_settled
update answers a set state = 'settled', paid = u.paid, settled_at = clock_timestamp()
from unnest($3::bytea[], $4::bigint[]) as u (id, paid)
where a.id = u.id and a.request = $1 and a.batch = $2 and a.state = 'judged'

-- payments_insert
insert into payments (request, batch, wallet, role, amount, owed, signature, slot)
select $1, $2, u.wallet, u.role, u.amount, u.owed, $3, $4
from unnest($5::bytea[], $6::int[], $7::bigint[], $8::bool[]) as u (wallet, role, amount, owed)
on conflict do nothing

-- lookup_tables_of
select address from lookup_tables where request = $1

-- lookup_table_keep
insert into lookup_tables (address, request) values ($1, $2) on conflict do nothing

-- lookup_tables_ended
select l.address from lookup_tables l join requests r on r.address = l.request where r.state = 'closed' order by random() limit $1

-- lookup_table_gone
delete from lookup_tables where address = $1

-- cursor_get
select value from cursors where name = $1

-- cursor_set
insert into cursors (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value

-- event_insert
insert into chain_events (signature, index, slot, name, data) values ($1, $2, $3, $4, $5) on conflict do nothing returning 1

-- projections_clear
truncate chain_events, participants, payments

-- labelers_of_request
-- Who works on a request: wallets with a lease, or an answer that is not settled, found one step of an index each. And who
-- may come: the labelers seen last.
with recursive leasing (wallet) as (
    (select wallet from leases where request = $1 order by wallet limit 1)
    union all
    select (select l.wallet from leases l where l.request = $1 and l.wallet > w.wallet order by l.wallet limit 1)
    from leasing w where w.wallet is not null
), answering (wallet) as (
    (select labeler from answers where request = $1 and batch is null order by labeler limit 1)
    union all
    select (select a.labeler from answers a where a.request = $1 and a.batch is null and a.labeler > w.wallet
            order by a.labeler limit 1)
    from answering w where w.wallet is not null
)
select wallet from leasing where wallet is not null
union select wallet from answering where wallet is not null
union (select wallet from participants where role = 2 order by updated_at desc limit $2)

-- participants_working
-- Validators first, then the labelers seen last.
select wallet from participants where role in (2, 3) order by role desc, updated_at desc limit $1

-- answers_of_batch
select id, labeler, verdict, unpaid, decided_at from answers where request = $1 and batch = $2 order by id

-- settled_event
select signature, slot, data from chain_events where name = 'BatchSettled' and data ->> 'request' = $1 and data ->> 'batch' = $2::bigint::text

-- latencies
-- Milliseconds from deciding vote to confirmed payment.
select extract(epoch from settled_at - decided_at) * 1000 as ms from answers
where settled_at is not null and ($1::bytea is null or request = $1)

-- requests_with_batches
select distinct request from batches where state = 'settled'

-- cursor_delete
delete from cursors where name = $1

-- batches_all
select * from batches order by request, batch

-- requests_to_draw
-- Open requests, for which a panel may have to be drawn.
select address from requests where state = 'open' and domain is not null

-- batches_between
select * from batches where request = $1 and batch >= $2 and batch < $3 order by batch

-- batch_head
select state, digest from batches where request = $1 and batch = $2

-- commit_without_waiting
-- For what can be read from the chain again: a crash may lose it, and the next start makes it good.
set local synchronous_commit = off

-- took_part
-- Whether a wallet has answered or voted in a request.
select exists (select 1 from answers where request = $1 and labeler = $2)
    or exists (select 1 from votes v join answers a on a.id = v.answer where a.request = $1 and v.voter = $2)

-- unpaid_of
-- How many settled answers of a wallet in a request were right and not paid.
select count(*) from answers where request = $1 and labeler = $2 and unpaid and state = 'settled'

-- settled_of
-- How many answers, or revealed votes on answers, of a wallet are settled in a request.
select (select count(*) from answers where request = $1 and labeler = $2 and state = 'settled')
     + (select count(*) from votes v join answers a on a.id = v.answer and a.round = v.round
        where a.request = $1 and v.voter = $2 and v.vote is not null and a.state = 'settled')
