-- Tasks: handing out, giving back.

-- tasks_insert
-- A request's tasks and their places; $8 the request's domain.
with made as (
    insert into tasks (id, request, index, item, media_type, answers_wanted, is_gold, gold)
    select u.id, $1, u.index, u.item, u.media_type, u.wanted, u.gold is not null, u.gold
    from unnest($2::bytea[], $3::integer[], $4::text[], $5::text[], $6::integer[], $7::jsonb[])
        as u (id, index, item, media_type, wanted, gold)
    on conflict do nothing
    returning id, request, index, answers_wanted
)
insert into places (task, request, place, index, room)
select id, request, task_place($8, id), index, answers_wanted from made

-- tasks_claim
-- $1 request, $2 wallet, $3 the same in base58, $4 at most, $5 lease in seconds, $6 leases that a wallet may hold, $7 tasks
-- that it names or null.
select outcome, id, index, item, media_type, expires_at, walk, n, line, head
from hand_out($1, $2, $3, $4, $5, $6, $7::bytea[])

-- requests_of_leases
-- The requests of tasks $1 that $2 holds.
select distinct request from leases where task = any($1::bytea[]) and wallet = $2 order by request

-- tasks_skip
-- $1 request, $2 wallet, $3 task ids.
select outcome, skipped_ as skipped, left_, free_, share_ from skip_tasks($1, $2, $3::bytea[])

-- leases_sweep
select sweep_leases()

-- leases_of
select l.task as id, l.request, l.expires_at, t.index, t.item, t.media_type, k.walk, l.n, l.line,
       sha256(convert_to(a.text, 'UTF8')) as head
from leases l join tasks t on t.id = l.task
     left join walks k on k.request = l.request and k.wallet = l.wallet
     left join assignment_lines a on a.request = l.request and a.line = l.line
where l.wallet = $1 and l.expires_at > now()
order by l.expires_at, l.task limit $2

-- tasks_by_ids
select id, request, index, item, media_type, state from tasks where id = any($1::bytea[])

-- tasks_of
-- A request's tasks from index $2 on, for those who name what they claim.
select id, index, item, media_type, state, answers_wanted, answers_done from tasks
where request = $1 and index >= $2 order by index limit $3

-- assignment_begin
-- $1 request, $2 its domain, $3 and $4 what a wallet may give back, $5 the header of its log; null where assignment is open.
select assignment_begin($1, $2, $3, $4, $5)

-- assignments_missing
-- Posted requests whose hand-outs are not logged yet.
select address, domain, assignment from requests r
where domain is not null and not exists (select 1 from assignments a where a.request = r.address)

-- assignments_behind
-- Requests with lines that are in no file yet.
select a.request from assignments a left join assignment_files f on f.request = a.request
where a.line >= coalesce(f.lines, 0)

-- assignments_logged
select request from assignments where random

-- assignment_keep
-- $1 request. Waits for the disk, and with it all lines that it counts are there; how many, if more than before.
insert into assignment_files (request, lines)
select a.request, a.line + 1 from assignments a left join assignment_files f on f.request = a.request
where a.request = $1 and a.line >= coalesce(f.lines, 0)
on conflict (request) do update set lines = greatest(assignment_files.lines, excluded.lines)
returning lines

-- assignment_kept
select lines from assignment_files where request = $1

-- assignment_lines_from
-- Lines of request $1 from number $2 up to, not with, $3; at most $4.
select text from assignment_lines where request = $1 and line >= $2 and line < $3 order by line limit $4

-- owners_state
-- What the owners of request $1 were learned from so far, and whether it still hands out; nothing where it does not learn.
select a.point, r.state from assignments a join requests r on r.address = a.request where a.request = $1 and a.random

-- owners_answers
-- The answers to the first $3 records of a request's batches before $2, in the order of its vote log.
with records as (
    select t.id, t.gold, row_number() over (order by t.batch, t.index) as place
    from tasks t where t.request = $1 and t.batch is not null and t.batch < $2
    order by t.batch, t.index limit $3
)
select r.place, r.gold, array_agg(a.labeler order by a.labeler) as labelers, array_agg(a.content order by a.labeler) as contents
from records r join answers a on a.task = r.id group by r.place, r.gold order by r.place

-- records_count
-- Records in batches of request $1 before $2.
select count(*) from tasks where request = $1 and batch is not null and batch < $2

-- owners_learned
-- $1 request, $2 records, $3 wallets and $4 the numbers of their owners, $5 the groups as JSON, $6 by which rule. Whether
-- it was new.
select owners_learned($1, $2, $3::bytea[], $4::integer[], $5, $6)
