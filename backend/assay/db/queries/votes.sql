-- Review rounds and votes.

-- review_waiting
-- Answers by review that wait for a round, the oldest $1 of each request, with the number that it gets: one whose panel
-- is away does not hold the others up.
select a.id, r.address as request, coalesce((select max(round) + 1 from rounds x where x.answer = a.id), 0)::int as round,
       (select max(panel_round) from rounds x where x.answer = a.id) as failed_panel
from requests r cross join lateral (
    select id, submitted_at from answers
    where request = r.address and state = 'submitted' order by submitted_at limit $1) a
where r.mode = 1 and r.state in ('open', 'closing')
order by a.submitted_at

-- round_open
insert into rounds (answer, round, request, panel_round, panel, commit_until)
values ($1, $2, $3, $4, $5, clock_timestamp() + make_interval(secs => $6::float8))
on conflict do nothing

-- round_lock
select r.*, q.domain, q.mode from rounds r join requests q on q.address = r.request
where r.answer = $1 and r.round = $2
for update of r

-- round_state
select r.*, (select count(*) from votes v where v.answer = r.answer and v.round = r.round) as commits,
       (select count(*) from votes v where v.answer = r.answer and v.round = r.round and v.vote is not null) as reveals
from rounds r where r.answer = $1 and r.round = $2

-- rounds_overdue
-- Rounds whose time is over, or that were complete when the market stopped.
select answer, round from rounds
where (state = 'commit' and commit_until < clock_timestamp())
   or (state = 'reveal' and (reveal_until < clock_timestamp() or not exists (
        select 1 from votes v where v.answer = rounds.answer and v.round = rounds.round and v.vote is null)))
limit 500

-- vote_commit
insert into votes (answer, round, voter, commitment, signature) values ($1, $2, $3, $4, $5)
on conflict do nothing

-- votes_of_round
select voter, commitment, signature, vote, salt, committed_at, revealed_at from votes
where answer = $1 and round = $2 order by voter

-- votes_of_rounds
select v.answer, v.round, v.voter, v.commitment, v.signature, v.vote, v.salt
from votes v join unnest($1::bytea[], $2::int[]) as u (answer, round) on v.answer = u.answer and v.round = u.round
order by v.answer, v.voter

-- vote_reveal
update votes set vote = $4, salt = $5, revealed_at = clock_timestamp()
where answer = $1 and round = $2 and voter = $3 and vote is null

-- round_close_commits
update rounds set state = 'reveal', reveal_until = clock_timestamp() + make_interval(secs => $3::float8)
where answer = $1 and round = $2 and state = 'commit'

-- round_decided
update rounds set state = 'decided', closed_at = clock_timestamp() where answer = $1 and round = $2 and state = 'reveal'

-- round_failed
-- The answer waits for another round.
with failed as (
    update rounds set state = 'failed', closed_at = clock_timestamp()
    where answer = $1 and round = $2 and state in ('commit', 'reveal') returning answer
)
update answers a set state = 'submitted' from failed where a.id = failed.answer and a.state = 'judging'

-- work_assigned
-- What a validator has to vote on now: rounds whose commits are open and lack its own.
select * from rounds_to_commit r
where r.commit_until > clock_timestamp() and $1::bytea = any(r.panel)
  and not exists (select 1 from votes v where v.answer = r.answer and v.round = r.round and v.voter = $1)
order by r.opened_at
limit $2

-- work_assigned_of
-- The same of the answer $2 alone.
select * from rounds_to_commit r
where r.answer = $2 and r.commit_until > clock_timestamp() and $1::bytea = any(r.panel)
  and not exists (select 1 from votes v where v.answer = r.answer and v.round = r.round and v.voter = $1)

-- openings_due
-- Rounds in which a validator has committed and has to reveal now.
select * from rounds_to_reveal r where r.voter = $1 order by r.reveal_until limit $2

-- openings_due_of
-- The same of the answer $2 alone.
select * from rounds_to_reveal r where r.voter = $1 and r.answer = $2

-- verdict_review
update answers set state = 'judged', verdict = $2, confidence = $3, evidence = $4, round = $5, decided_at = $6
where id = $1 and state in ('submitted', 'judging')

-- task_accepted
update tasks set state = 'done', label = $2, label_hash = $3, confidence = $4, decided_at = $5 where id = $1 and decided_at is null

-- task_rejected
-- Its every answer was rejected: it waits for money to be answered once more.
update tasks set state = 'rejected' where id = $1 and decided_at is null and answers_done >= answers_wanted

-- answers_judging
update answers set state = 'judging' where id = any($1::bytea[]) and state = 'submitted'

-- review_commitments
-- What a request by review still has to pay for: verdicts not settled yet, and tasks that will get one: all but those
-- whose every answer was rejected.
select (select count(*) from answers a where a.request = $1 and a.state = 'judged' and a.verdict) as accepted,
       (select count(*) from answers a where a.request = $1 and a.state = 'judged' and not a.verdict) as rejected,
       (select count(*) from tasks t where t.request = $1 and t.state <> 'done')
     - (select count(*) from tasks t where t.request = $1 and t.state = 'rejected') as live

-- review_in_hand
-- The same at this moment: of the tasks only those that somebody holds or has answered.
select (select count(*) from answers a where a.request = $1 and a.state = 'judged' and a.verdict) as accepted,
       (select count(*) from answers a where a.request = $1 and a.state = 'judged' and not a.verdict) as rejected,
       (select count(*) from answers a where a.request = $1 and a.batch is null and a.state in ('submitted', 'judging'))
     + (select count(*) from leases l where l.request = $1) as live

-- request_alone
-- Until the end of the transaction nobody else puts tasks of this request back. Not its row's lock: answers need that.
select pg_advisory_xact_lock(hashtextextended(encode($1::bytea, 'hex'), 1))

-- requests_rejected
-- Requests with tasks that wait to be answered once more.
select r.address from requests r
where r.state = 'open' and exists (select 1 from tasks t where t.request = r.address and t.state = 'rejected')

-- tasks_again
-- Up to $2 of them take one more answer, from another labeler; a trigger gives them their room.
with chosen as (
    select id from tasks where request = $1 and state = 'rejected' limit $2 for no key update
)
update tasks t set state = 'open', answers_wanted = answers_wanted + 1 from chosen where t.id = chosen.id

-- task_gold
select id, index, gold from tasks where id = $1

-- votes_by
select answer, round, commitment, committed_at, vote, revealed_at from votes where voter = $1 order by committed_at
