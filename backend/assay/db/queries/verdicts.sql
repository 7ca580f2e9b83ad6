-- Verdicts by agreement.

-- agreement_ready
-- Tasks that have all their answers, or can get no more since their request is closing and nobody holds a lease.
select t.id, t.request, t.index, t.item, t.is_gold, t.gold, q.spec, q.state as request_state
from tasks t join requests q on q.address = t.request
where q.mode = 0 and q.state in ('open', 'closing') and t.state <> 'done' and t.decided_at is null and t.answers_done > 0
  and (t.answers_done >= t.answers_wanted
       or (q.state = 'closing' and not exists (select 1 from leases l where l.task = t.id and l.expires_at > now())))
limit $1
for update of t skip locked

-- answers_of_tasks
select id, request, task, labeler, content, content_hash, signature, submitted_at, state, verdict, confidence, evidence, round,
       decided_at, batch
from answers where task = any($1::bytea[]) order by task, id

-- verdicts_agreement
update answers a
set state = 'judged', verdict = u.verdict, confidence = u.confidence, evidence = u.evidence, decided_at = u.decided_at
from unnest($1::bytea[], $2::bool[], $3::int[], $4::bytea[], $5::timestamptz[]) as u (id, verdict, confidence, evidence, decided_at)
where a.id = u.id and a.state in ('submitted', 'judging')

-- tasks_decide
update tasks t
set state = 'done', label = u.label, label_hash = u.label_hash, confidence = u.confidence, decided_at = u.decided_at
from unnest($1::bytea[], $2::jsonb[], $3::bytea[], $4::int[], $5::timestamptz[]) as u (id, label, label_hash, confidence, decided_at)
where t.id = u.id and t.decided_at is null
