-- Dynamic overlap (`domain.growth`): the points of the models by which a task's answers beyond its overlap were asked for,
-- in their order; and the how-manieth answer of its task each answer is. Of a request `overlap` is the most that a task may
-- get, `first_overlap` (null: the same) what it gets first, `confidence_bps` (null: none grows) below which it asks for more.
alter table requests add column first_overlap integer, add column confidence_bps integer;
alter table tasks add column points integer[] not null default '{}';
alter table answers add column turn integer;            -- null: answered before this was kept

-- As before, but for the turn.
create or replace function submit_answers(
    ids bytea[], task_ids bytea[], labelers bytea[], contents jsonb[], hashes bytea[], cids text[], signatures bytea[]
) returns table (outcome text, answer bytea, state text) language plpgsql as $$
#variable_conflict use_column
declare
    i integer;
    held boolean;
    turn_ integer;
    t record;
    earlier record;
begin
    -- Everybody locks tasks in the order of their ids, so that nobody deadlocks. "no key": a lease refers to its task.
    perform 1 from tasks where id = any(task_ids) order by id for no key update;
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
            outcome := 'ended';                     -- nothing of it is handed out any more
        else
            update tasks set answers_done = answers_done + 1 where id = task_ids[i] returning answers_done into turn_;
            insert into answers (id, request, task, labeler, content, content_hash, cid, signature, turn)
            values (ids[i], t.request, task_ids[i], labelers[i], contents[i], hashes[i], cids[i], signatures[i], turn_);
            outcome := 'new';
            answer := ids[i];
            state := 'submitted';
        end if;
        return next;
    end loop;
end $$;
