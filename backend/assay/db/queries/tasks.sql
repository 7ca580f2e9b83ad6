-- Tasks: handing out, giving back.

-- tasks_insert
insert into tasks (id, request, index, item, media_type, answers_wanted, is_gold, gold, shuffle)
select u.id, $1, u.index, u.item, u.media_type, u.wanted, u.gold is not null, u.gold, (random() * 2147483647)::integer
from unnest($2::bytea[], $3::integer[], $4::text[], $5::text[], $6::integer[], $7::jsonb[])
    as u (id, index, item, media_type, wanted, gold)
on conflict do nothing

-- tasks_claim
-- $1 request, $2 wallet, $3 at most, $4 lease in seconds, $5 and $6 the part of the queue. A lost lease harms nobody, so
-- this commit does not wait for the disk.
with room as (
    select t.id from tasks t
    where t.request = $1 and t.state = 'open' and t.answers_taken < t.answers_wanted and t.shuffle between $5 and $6
      and not exists (select 1 from leases l where l.task = t.id and l.wallet = $2)
      and not exists (select 1 from answers a where a.task = t.id and a.labeler = $2)
      and not exists (select 1 from skips s where s.task = t.id and s.wallet = $2)
    order by t.shuffle
    limit $3
    for update of t skip locked
), taken as (
    update tasks t set answers_taken = t.answers_taken + 1 from room where t.id = room.id
    returning t.id, t.index, t.item, t.media_type
), leased as (
    insert into leases (task, wallet, request, expires_at)
    select id, $2, $1, now() + make_interval(secs => $4::float8) from taken
    returning task, expires_at
)
select taken.id, taken.index, taken.item, taken.media_type, leased.expires_at,
       set_config('synchronous_commit', 'off', true) as durable
from taken join leased on leased.task = taken.id

-- tasks_claim_named
-- The same for tasks that the labeler names; $5 their ids.
with room as (
    select t.id from tasks t
    where t.id = any($5::bytea[]) and t.request = $1 and t.state = 'open' and t.answers_taken < t.answers_wanted
      and not exists (select 1 from leases l where l.task = t.id and l.wallet = $2)
      and not exists (select 1 from answers a where a.task = t.id and a.labeler = $2)
    order by t.id
    limit $3
    for update of t
), taken as (
    update tasks t set answers_taken = t.answers_taken + 1 from room where t.id = room.id
    returning t.id, t.index, t.item, t.media_type
), leased as (
    insert into leases (task, wallet, request, expires_at)
    select id, $2, $1, now() + make_interval(secs => $4::float8) from taken
    returning task, expires_at
)
select taken.id, taken.index, taken.item, taken.media_type, leased.expires_at,
       set_config('synchronous_commit', 'off', true) as durable
from taken join leased on leased.task = taken.id

-- tasks_skip
-- $1 task ids, $2 wallet; only what it holds. The ids that were given back.
with held as (
    delete from leases where task = any($1::bytea[]) and wallet = $2 returning task
), marked as (
    insert into skips (task, wallet) select task, $2 from held on conflict do nothing
), ordered as (
    select t.id from tasks t join held on held.task = t.id order by t.id for update of t
), given as (
    update tasks t set answers_taken = t.answers_taken - 1 from ordered where t.id = ordered.id
)
select task from held

-- leases_sweep
select sweep_leases()

-- leases_of
select l.task, l.request, l.expires_at, t.index, t.item, t.media_type
from leases l join tasks t on t.id = l.task
where l.wallet = $1 and l.expires_at > now()
order by l.expires_at, l.task limit $2

-- leases_count
select count(*) from leases where wallet = $1 and expires_at > now()

-- tasks_by_ids
select id, request, index, item, media_type, state from tasks where id = any($1::bytea[])

-- tasks_of
-- A request's tasks from index $2 on, for those who name what they claim.
select id, index, item, media_type, state, answers_wanted, answers_done from tasks
where request = $1 and index >= $2 order by index limit $3
