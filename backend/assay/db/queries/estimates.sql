-- Live estimates of open requests.

-- estimate_gold
select gold from requests where address = $1

-- estimate_until
-- Whatever is committed from now on was submitted after this: an answer's time is taken within its transaction, which is
-- a moment long. What has been open for a minute is no submission.
select greatest(statement_timestamp() - interval '1 minute', least(statement_timestamp(), (
    select min(xact_start) from pg_stat_activity
    where datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid())))

-- estimate_answers
-- Answers to request $1 in the order in which they came: after time $2 and id $3, before time $4, $5 at most.
select a.id, a.submitted_at, a.labeler, a.content ->> 'value' as value, t.index
from answers a join tasks t on t.id = a.task
where a.request = $1 and (a.submitted_at, a.id) > ($2, $3) and a.submitted_at < $4
order by a.submitted_at, a.id limit $5

-- estimate_tasks
-- Tasks with answers whose record is not settled: it is in no batch, or in the one that is proposed.
select index from tasks t where request = $1 and answers_done > 0 and (batch is null or batch = (
    select b.batch from batches b where b.request = $1 and b.state = 'proposed')) order by index
