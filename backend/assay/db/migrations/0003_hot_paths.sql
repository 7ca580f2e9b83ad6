-- The two statements on every labeler's way, each one round trip.

-- Records answers, in order. For each: 'new', 'again' (the very same answer stands already), 'other' (another one stands),
-- 'lost' (no lease), 'ended' (request or task ended meanwhile). Rows of a call may be of many labelers.
create function submit_answers(
    ids bytea[], task_ids bytea[], labelers bytea[], contents jsonb[], hashes bytea[], cids text[], signatures bytea[]
) returns table (outcome text, answer bytea, state text) language plpgsql as $$
#variable_conflict use_column
declare
    i integer;
    held boolean;
    t record;
    earlier record;
begin
    -- Everybody locks tasks in the order of their ids, so that nobody deadlocks.
    perform 1 from tasks where id = any(task_ids) order by id for update;
    for i in 1 .. coalesce(array_length(ids, 1), 0) loop
        select a.id, a.state into earlier from answers a where a.task = task_ids[i] and a.labeler = labelers[i];
        if found then
            outcome := case when earlier.id = ids[i] then 'again' else 'other' end;
            answer := earlier.id;
            state := earlier.state;
            return next;
            continue;
        end if;
        answer := null;
        state := null;
        select k.request, k.state, r.state as request_state into t
        from tasks k join requests r on r.address = k.request where k.id = task_ids[i];
        delete from leases l where l.task = task_ids[i] and l.wallet = labelers[i];
        held := found;
        if not held then
            outcome := 'lost';
        elsif t.state = 'done' or t.request_state not in ('open', 'closing') then
            update tasks set answers_taken = answers_taken - 1 where id = task_ids[i];
            outcome := 'ended';
        else
            update tasks set answers_done = answers_done + 1 where id = task_ids[i];
            insert into answers (id, request, task, labeler, content, content_hash, cid, signature)
            values (ids[i], t.request, task_ids[i], labelers[i], contents[i], hashes[i], cids[i], signatures[i]);
            outcome := 'new';
            answer := ids[i];
            state := 'submitted';
        end if;
        return next;
    end loop;
end $$;

-- Gives back the leases that ended; how many.
create function sweep_leases() returns integer language plpgsql as $$
declare
    swept integer;
begin
    perform 1 from tasks where id in (select task from leases where expires_at < now()) order by id for update;
    with gone as (
        delete from leases where expires_at < now() returning task
    ), counted as (
        select task, count(*)::integer as n from gone group by task
    ), given as (
        update tasks t set answers_taken = t.answers_taken - c.n from counted c where t.id = c.task
    )
    select coalesce(sum(n), 0) into swept from counted;
    return swept;
end $$;
