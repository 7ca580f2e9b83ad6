-- What is ready to be judged or settled is found without a look at all that is open.

-- Since when a task waits for its verdict or for settlement: since its last wanted answer came in, or since none can
-- come any more. Whoever counts answers or wants more of them need not know of it.
alter table tasks add column due_at timestamptz;
update tasks t set due_at = coalesce(t.decided_at, (select max(a.submitted_at) from answers a where a.task = t.id))
where t.answers_done > 0 and (t.answers_done >= t.answers_wanted or t.decided_at is not null);

create function task_due() returns trigger language plpgsql as $$
begin
    new.due_at := case when new.answers_done >= new.answers_wanted then clock_timestamp() end;
    return new;
end $$;
create trigger task_due before update of answers_done, answers_wanted on tasks for each row
    when (new.decided_at is null and (new.answers_done >= new.answers_wanted) = (new.due_at is null))
    execute function task_due();

create index tasks_due on tasks (request, due_at) where batch is null and due_at is not null;
create index tasks_partly_answered on tasks (request) where batch is null and due_at is null and answers_done > 0;
drop index tasks_unsettled;     -- held them all

-- A task by review whose every answer was rejected: it waits for money to be answered once more.
alter table tasks drop constraint tasks_state_check;
alter table tasks add constraint tasks_state_check check (state in ('open', 'judging', 'rejected', 'done'));
update tasks t set state = 'rejected' from requests r
where r.address = t.request and r.mode = 1 and t.decided_at is null and t.answers_done >= t.answers_wanted
  and not exists (select 1 from answers a where a.task = t.id and a.state in ('submitted', 'judging'))
  and not exists (select 1 from leases l where l.task = t.id);
create index tasks_rejected on tasks (request) where state = 'rejected';

-- Who works on a request, one step of an index a wallet; and whether it has anything to settle.
create index leases_by_request on leases (request, wallet);
create index answers_unbatched on answers (request, labeler) where batch is null;
create index participants_by_role on participants (role desc, updated_at desc);

-- Answers by review that wait for a round are 'submitted', also after a round that failed.
update answers a set state = 'submitted' from requests r
where r.address = a.request and r.mode = 1 and a.state = 'judging'
  and not exists (select 1 from rounds x where x.answer = a.id and x.state in ('commit', 'reveal', 'decided'));
create index answers_submitted on answers (request, submitted_at) where state = 'submitted';
drop index answers_undecided;

-- What a settlement's event said, where the settler did not see it itself.
create index settled_events on chain_events ((data ->> 'request'), (data ->> 'batch')) where name = 'BatchSettled';

-- What the panels' members are told: rounds that take commits, and those that take reveals.
create view rounds_to_commit as
    select r.answer, r.round, r.request, r.panel_round, r.panel, r.commit_until, r.opened_at, q.domain, q.spec_cid,
           a.labeler, a.content, a.signature, t.index, t.item, t.media_type
    from rounds r join requests q on q.address = r.request join answers a on a.id = r.answer join tasks t on t.id = a.task
    where r.state = 'commit';
create view rounds_to_reveal as
    select r.answer, r.round, r.request, r.panel_round, r.panel, r.commit_until, r.reveal_until, q.domain, v.voter
    from rounds r join requests q on q.address = r.request join votes v on v.answer = r.answer and v.round = r.round
    where r.state = 'reveal' and v.vote is null;
