-- Review rounds and votes.

-- review_waiting
-- Submitted answers of review requests whose next round is to be opened, with the number it gets.
select a.id, a.request, coalesce((select max(round) + 1 from rounds x where x.answer = a.id), 0)::int as round,
       (select max(panel_round) from rounds x where x.answer = a.id) as failed_panel
from answers a join requests r on r.address = a.request
where r.mode = 1 and r.state in ('open', 'closing') and a.state in ('submitted', 'judging')
  and not exists (select 1 from rounds x where x.answer = a.id and x.state in ('commit', 'reveal', 'decided'))
order by a.submitted_at
limit $1

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

-- round_close
update rounds set state = $3, closed_at = clock_timestamp() where answer = $1 and round = $2 and state in ('commit', 'reveal')

-- work_assigned
-- What a validator has to vote on now: rounds whose commits are open and lack its own.
select r.answer, r.round, r.request, r.panel_round, r.panel, r.commit_until, q.domain, q.spec_cid, q.spec_hash,
       a.task, a.labeler, a.content, a.signature, t.index, t.item, t.media_type
from rounds r join requests q on q.address = r.request join answers a on a.id = r.answer join tasks t on t.id = a.task
where r.state = 'commit' and r.commit_until > clock_timestamp() and $1::bytea = any(r.panel)
  and ($2::bytea is null or r.answer = $2)
  and not exists (select 1 from votes v where v.answer = r.answer and v.round = r.round and v.voter = $1)
order by r.opened_at
limit $3

-- openings_due
-- Rounds in which a validator has committed and has to reveal now.
select r.answer, r.round, r.request, r.panel_round, r.panel, r.commit_until, r.reveal_until, q.domain
from rounds r join requests q on q.address = r.request join votes v on v.answer = r.answer and v.round = r.round
where r.state = 'reveal' and v.voter = $1 and v.vote is null and ($2::bytea is null or r.answer = $2)
order by r.reveal_until
limit $3

-- verdict_review
update answers set state = 'judged', verdict = $2, confidence = $3, evidence = $4, round = $5, decided_at = $6
where id = $1 and state in ('submitted', 'judging')

-- task_accepted
update tasks set state = 'done', label = $2, label_hash = $3, confidence = $4, decided_at = $5 where id = $1 and decided_at is null

-- answers_judging
update answers set state = 'judging' where id = any($1::bytea[]) and state = 'submitted'

-- review_commitments
-- What a request by review still has to pay for: verdicts not settled yet, and tasks that will get one.
select (select count(*) from answers a where a.request = $1 and a.state = 'judged' and a.verdict) as accepted,
       (select count(*) from answers a where a.request = $1 and a.state = 'judged' and not a.verdict) as rejected,
       (select count(*) from tasks t where t.request = $1 and t.decided_at is null) as undecided

-- review_exhausted
-- Tasks whose every answer was rejected: they want one more, from another labeler.
select t.id from tasks t
where t.request = $1 and t.decided_at is null and exists (select 1 from places p where p.task = t.id and p.room = 0)
  and not exists (select 1 from answers a where a.task = t.id and a.state in ('submitted', 'judging'))
  and not exists (select 1 from leases l where l.task = t.id)

-- requests_exhausted
select distinct t.request from tasks t join requests r on r.address = t.request
where r.mode = 1 and r.state = 'open' and t.decided_at is null and exists (select 1 from places p where p.task = t.id and p.room = 0)
  and not exists (select 1 from answers a where a.task = t.id and a.state in ('submitted', 'judging'))
  and not exists (select 1 from leases l where l.task = t.id)

-- tasks_again
-- One answer more each; a trigger gives the task its room.
update tasks t set state = 'open', answers_wanted = t.answers_wanted + 1
where t.id = any($1::bytea[]) and t.decided_at is null and exists (select 1 from places p where p.task = t.id and p.room = 0)

-- task_gold
select id, index, gold from tasks where id = $1

-- votes_by
select answer, round, commitment, committed_at, vote, revealed_at from votes where voter = $1 order by committed_at
