-- Tasks handed out by public randomness: each task has a place on a circle, each hand-out a start; every line of the
-- hand-out log is written in the transaction of what it says, in one order a request (docs/protocol.md: assignment).

create function first31(hash bytea) returns integer language sql immutable strict parallel safe as $$
    select (get_byte(hash, 0) << 23) | (get_byte(hash, 1) << 15) | (get_byte(hash, 2) << 7) | (get_byte(hash, 3) >> 1)
$$;

create function u32le(value integer) returns bytea language sql immutable strict parallel safe as $$
    select substr(b, 4, 1) || substr(b, 3, 1) || substr(b, 2, 1) || substr(b, 1, 1) from (select int4send(value) as b) x
$$;

create function task_place(domain bytea, task bytea) returns integer language sql immutable strict parallel safe as $$
    select first31(sha256('\x61737361792d706c6163652d76310000'::bytea || domain || task))    -- assay-place-v1
$$;

create function walk_start(domain bytea, walk integer, n integer) returns integer language sql immutable strict parallel safe as $$
    select first31(sha256('\x61737361792d73746172742d76310000'::bytea || domain || u32le(walk) || u32le(n)))  -- assay-start-v1
$$;

-- A request's end of the hand-out log. Whoever hands out, takes back or adds holds this row's lock, so all of it has one
-- order. Of a request of open assignment it is the lock alone.
create table assignments (
    request key32 primary key references requests on delete cascade,
    domain  key32 not null,
    random  boolean not null,
    free    integer not null,                       -- what a wallet may give back without an answer: tasks,
    share   integer not null,                       -- and percent of its answers
    line    bigint not null,                        -- number of the last line, the header's being 0; -1: no log
    head    key32 not null,                         -- its sha256
    at      bigint not null default 0,              -- its time, milliseconds
    walks   integer not null default 0,             -- wallets that ever got a task
    point   integer not null default 0              -- records that the owners were learned from
);
create table assignment_lines (
    request key32 not null,
    line    bigint not null,
    text    text not null,
    primary key (request, line)
);
-- How many lines are known to be on disk, and may be in the published file.
create table assignment_files (
    request key32 primary key,
    lines   bigint not null
);

-- A wallet in a request: its number in order of first hand-outs, and what it had.
create table walks (
    request  key32 not null,
    wallet   key32 not null,
    walk     integer not null,
    handouts integer not null,
    tasks    integer not null,                      -- that it ever got
    skipped  integer not null default 0,
    lapsed   integer not null default 0,
    primary key (request, wallet),
    unique (request, walk)
);

-- Wallets that are held to have one owner, as of `assignments.point`.
create table owners (
    request key32 not null,
    wallet  key32 not null,
    owner   integer not null,
    primary key (request, wallet)
);
create index owners_by_owner on owners (request, owner);

-- What handing out needs of a task, apart from `tasks`, whose rows answers lock until they are on disk.
create table places (
    task    key32 primary key references tasks on delete cascade,
    request key32 not null,
    place   integer not null,
    index   integer not null,
    room    integer not null check (room >= 0)      -- answers wanted less leases and answers
);
create index places_with_room on places (request, place, index) where room > 0;
insert into places (task, request, place, index, room)
select t.id, t.request, task_place(r.domain, t.id), t.index,
       case when t.state = 'open' then greatest(t.answers_wanted - t.answers_taken, 0) else 0 end
from tasks t join requests r on r.address = t.request;

alter table leases add column line bigint, add column n integer;    -- the hand-out that gave it
drop index tasks_with_room;
alter table tasks drop column answers_taken, drop column shuffle;

-- Begins a request's log with its header; without one (open assignment) only the lock.
create function assignment_begin(request_ bytea, domain_ bytea, free_ integer, share_ integer, header text) returns void language plpgsql as $$
begin
    insert into assignments (request, domain, random, free, share, line, head)
    values (request_, domain_, header is not null, free_, share_, case when header is null then -1 else 0 end,
            coalesce(sha256(convert_to(header, 'UTF8')), decode(repeat('00', 32), 'hex')))
    on conflict do nothing;
    if found and header is not null then
        insert into assignment_lines values (request_, 0, header);
    end if;
end $$;

-- Adds a line in canonical JSON; the caller holds the lock and gives the fields before "at", between "at" and "line",
-- between "line" and "previous", and after that. Returns the line's number and hash.
create function assignment_line(
    request_ bytea, before text, between_ text, middle text, after text, out line_ bigint, out head_ bytea
) language plpgsql as $$
declare
    h record;
    now_ bigint;
    text_ text;
begin
    select a.line, a.head, a.at into h from assignments a where a.request = request_;
    line_ := h.line + 1;
    now_ := greatest(h.at, floor(extract(epoch from clock_timestamp()) * 1000)::bigint);
    text_ := '{' || before || '"at":' || now_ || ',' || between_ || '"line":' || line_ || ',' || middle || '"previous":"'
          || encode(h.head, 'hex') || '",' || after || '}';
    head_ := sha256(convert_to(text_, 'UTF8'));
    insert into assignment_lines values (request_, line_, text_);
    update assignments a set line = line_, head = head_, at = now_ where a.request = request_;
end $$;

-- Hands out up to `asked` tasks of a request. `address`: the wallet in base58. `named`: the tasks that the labeler names,
-- where assignment is open. A wallet never holds more than it may give back without an answer, or one. One row a task, in
-- order of the walk; or a single row with another outcome: 'ended', 'absent' (the log is not begun), 'held' (too many
-- leases), 'skips' (too many given back; `index` and `n` are then what is free, and percent of its answers).
-- A crash may take the last leases back, and the log's lines with them; an answer waits for the disk, and with it the
-- disk has all that was written before it, so no answer is without its line. (The published file gets only lines that
-- are on disk.) Planned once, and probed task by task: planning took three times as long as the rest.
create function hand_out(
    request_ bytea, wallet_ bytea, address text, asked integer, lease_seconds float8, most integer, named bytea[]
) returns table (
    outcome text, id bytea, index integer, item text, media_type text, expires_at timestamptz, walk integer, n integer,
    line bigint, head bytea
) language plpgsql set plan_cache_mode = force_generic_plan as $$
#variable_conflict use_column
declare
    h record;
    w record;
    held integer;
    held_here integer;
    used integer := 0;
    spare integer;
    start_ integer;
    owner_ bytea[];
    chosen bytea[];
    indices text;
    expires timestamptz := clock_timestamp() + make_interval(secs => lease_seconds);
    made record;
begin
    perform set_config('synchronous_commit', 'off', true);
    select a.domain, a.random, a.walks, a.point, a.free, a.share into h from assignments a where a.request = request_ for update;
    if not found then
        outcome := 'absent';
    elsif (select r.state from requests r where r.address = request_) <> 'open' then
        outcome := 'ended';
    end if;
    select count(*), count(*) filter (where l.request = request_) into held, held_here
    from leases l where l.wallet = wallet_;
    if held >= most then
        outcome := 'held';
    end if;
    if outcome is not null then
        return next;
        return;
    end if;
    asked := least(asked, most - held);
    if h.random then
        select k.walk, k.handouts, k.tasks, k.skipped + k.lapsed as used into w
        from walks k where k.request = request_ and k.wallet = wallet_;
        if found then
            walk := w.walk;
            n := w.handouts + 1;
            used := w.used;
            spare := h.free + h.share * (w.tasks - used - held_here) / 100 - used - held_here;
        else
            walk := h.walks + 1;
            n := 1;
            spare := h.free;
        end if;
        asked := least(asked, greatest(spare, case when held_here = 0 then 1 else 0 end));
        if asked < 1 then
            outcome := 'skips';
            index := h.free;
            n := h.share;
            return next;
            return;
        end if;
        start_ := walk_start(h.domain, walk, n);
        owner_ := array(
            select o.wallet from owners mine join owners o on o.request = request_ and o.owner = mine.owner
            where mine.request = request_ and mine.wallet = wallet_ and o.wallet <> wallet_) || wallet_;
    else
        start_ := floor(random() * 2147483648)::bigint::integer;
        owner_ := array[wallet_];
    end if;
    if named is not null then
        chosen := array(
            select p.task from places p
            where p.task = any(named) and p.request = request_ and p.room > 0
              and not exists (select 1 from leases l where l.task = p.task and l.wallet = wallet_)
              and not exists (select 1 from answers a where a.task = p.task and a.labeler = wallet_)
            order by p.place, p.index limit asked);
    else
        chosen := array(
            select p.task from places p
            where p.request = request_ and p.room > 0 and p.place >= start_
              and (select true from leases l where l.task = p.task and l.wallet = any(owner_) limit 1) is null
              and (select true from answers a where a.task = p.task and a.labeler = any(owner_) limit 1) is null
              and (select true from skips s where s.task = p.task and s.wallet = any(owner_) limit 1) is null
            order by p.place, p.index limit asked);
        if cardinality(chosen) < asked then
            chosen := chosen || array(
                select p.task from places p
                where p.request = request_ and p.room > 0 and p.place < start_
                  and (select true from leases l where l.task = p.task and l.wallet = any(owner_) limit 1) is null
                  and (select true from answers a where a.task = p.task and a.labeler = any(owner_) limit 1) is null
                  and (select true from skips s where s.task = p.task and s.wallet = any(owner_) limit 1) is null
                order by p.place, p.index limit asked - cardinality(chosen));
        end if;
    end if;
    if cardinality(chosen) = 0 then
        return;
    end if;
    update places p set room = p.room - 1 where p.task = any(chosen);
    if h.random then
        select string_agg(p.index::text, ',' order by u.place) into indices
        from unnest(chosen) with ordinality as u (task, place) join places p on p.task = u.task;
        select * into made from assignment_line(
            request_, '"asked":' || asked || ',', '', '"n":' || n || ',"point":' || h.point || ',',
            '"start":' || start_ || ',"tasks":[' || indices || '],"type":"handout","walk":' || walk || ',"wallet":"'
            || address || '"');
        line := made.line_;
        head := made.head_;
        insert into walks (request, wallet, walk, handouts, tasks) values (request_, wallet_, walk, 1, cardinality(chosen))
        on conflict (request, wallet) do update
        set handouts = walks.handouts + 1, tasks = walks.tasks + excluded.tasks;
        if n = 1 then
            update assignments a set walks = a.walks + 1 where a.request = request_;
        end if;
    end if;
    insert into leases (task, wallet, request, expires_at, line, n)
    select task, wallet_, request_, expires, line, n from unnest(chosen) as u (task);
    return query
        select 'task'::text, t.id::bytea, t.index, t.item, t.media_type, expires, walk, n, line, head
        from unnest(chosen) with ordinality as u (task, place) join tasks t on t.id = u.task order by u.place;
end $$;

-- Takes tasks of one request back from a wallet for good. `left_` is what it may still give back, by `free_` and `share_`;
-- with 'limit' nothing was taken.
create function skip_tasks(
    request_ bytea, wallet_ bytea, ids bytea[], out outcome text, out skipped_ integer, out left_ integer,
    out free_ integer, out share_ integer
) language plpgsql as $$
declare
    h record;
    w record;
    held integer;
    pairs text;
begin
    perform set_config('synchronous_commit', 'off', true);
    select a.random, a.free, a.share into h from assignments a where a.request = request_ for update;
    free_ := h.free;
    share_ := h.share;
    select count(*) filter (where l.task = any(ids)), count(*) into skipped_, held
    from leases l where l.wallet = wallet_ and l.request = request_;
    outcome := 'skipped';
    if h.random then
        select k.tasks, k.skipped + k.lapsed as used into w
        from walks k where k.request = request_ and k.wallet = wallet_;
        left_ := greatest(0, free_ + share_ * (coalesce(w.tasks, 0) - coalesce(w.used, 0) - held) / 100 - coalesce(w.used, 0));
        if skipped_ > left_ then
            outcome := 'limit';
            skipped_ := 0;
            return;
        end if;
    end if;
    with gone as (
        delete from leases l where l.task = any(ids) and l.wallet = wallet_ and l.request = request_
        returning l.task, l.line
    ), marked as (
        insert into skips (task, wallet) select gone.task, wallet_ from gone on conflict do nothing
    ), given as (
        update places p set room = p.room + 1 from gone where p.task = gone.task returning p.index, gone.line
    )
    select count(*), string_agg('[' || given.line || ',' || given.index || ']', ',' order by given.line, given.index)
    into skipped_, pairs from given;
    if pairs is not null then
        left_ := left_ - skipped_;
        update walks k set skipped = k.skipped + skipped_ where k.request = request_ and k.wallet = wallet_;
        perform assignment_line(request_, '', '"leases":[' || pairs || '],', '', '"type":"skipped"');
    end if;
end $$;

-- Gives back the leases that ended; how many. One that is just being answered is left alone.
create or replace function sweep_leases() returns integer language plpgsql as $$
declare
    swept integer := 0;
    h record;
    gone record;
begin
    perform set_config('synchronous_commit', 'off', true);
    for h in select distinct l.request from leases l where l.expires_at < now() order by l.request loop
        perform 1 from assignments a where a.request = h.request for update;
        with ended as (
            select l.task, l.wallet from leases l
            where l.request = h.request and l.expires_at < now() for update skip locked
        ), deleted as (
            delete from leases l using ended where l.task = ended.task and l.wallet = ended.wallet
            returning l.task, l.wallet, l.line
        ), counted as (
            select task, count(*)::integer as n from deleted group by task
        ), given as (
            update places p set room = p.room + c.n from counted c where p.task = c.task returning p.task, p.index
        ), lapsed as (
            update walks k set lapsed = k.lapsed + d.n
            from (select wallet, count(*)::integer as n from deleted where line is not null group by wallet) d
            where k.request = h.request and k.wallet = d.wallet
        )
        select count(*) as n, string_agg('[' || d.line || ',' || g.index || ']', ',' order by d.line, g.index)
            filter (where d.line is not null) as pairs
        into gone from deleted d join given g on g.task = d.task;
        if gone.pairs is not null then
            perform assignment_line(h.request, '', '"leases":[' || gone.pairs || '],', '', '"type":"lapsed"');
        end if;
        swept := swept + gone.n;
    end loop;
    return swept;
end $$;

-- A task that wants more answers than before has more room, and the log says so: whoever changes `answers_wanted`.
create function more_wanted() returns trigger language plpgsql as $$
declare
    random_ boolean;
begin
    select a.random into random_ from assignments a where a.request = new.request for update;
    update places p set room = p.room + new.answers_wanted - old.answers_wanted where p.task = new.id;
    if random_ then
        perform assignment_line(
            new.request, '', '', '"more":' || new.answers_wanted - old.answers_wanted || ',',
            '"task":' || new.index || ',"type":"more"');
    end if;
    return null;
end $$;
create trigger more_wanted after update of answers_wanted on tasks for each row
    when (new.answers_wanted <> old.answers_wanted) execute function more_wanted();

-- Takes over what was learned from a request's first `point_` records: `members[i]` belongs to owner `numbers[i]`;
-- `groups_` says the same as JSON for the log,
-- `rule` how it was learned. False where that is known already, or a later point is.
create function owners_learned(request_ bytea, point_ integer, members bytea[], numbers integer[], groups_ text, rule integer)
returns boolean language plpgsql as $$
begin
    perform 1 from assignments a where a.request = request_ and a.random and a.point < point_ for update;
    if not found then
        return false;
    end if;
    delete from owners o where o.request = request_;
    insert into owners (request, wallet, owner) select request_, u.wallet, u.owner from unnest(members, numbers) as u (wallet, owner);
    update assignments a set point = point_ where a.request = request_;
    perform assignment_line(request_, '', '"groups":' || groups_ || ',', '"point":' || point_ || ',',
        '"rule":' || rule || ',"type":"owners"');
    return true;
end $$;

-- As before, but for the task's room: an answer takes over its lease's, and locks no row that handing out needs.
create or replace function submit_answers(
    ids bytea[], task_ids bytea[], labelers bytea[], contents jsonb[], hashes bytea[], cids text[], signatures bytea[]
) returns table (outcome text, answer bytea, state text) language plpgsql as $$
#variable_conflict use_column
declare
    i integer;
    held boolean;
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
