-- Answers as labelers send and see them.

-- answers_submit
select outcome, answer, state from submit_answers(
    $1::bytea[], $2::bytea[], $3::bytea[], $4::jsonb[], $5::bytea[], $6::text[], $7::bytea[])

-- answers_of_labeler
-- $1 labeler, $2 request or null, $3 submitted before, $4 at most
select id, request, task, content, cid, state, verdict, unpaid, confidence, submitted_at, decided_at, batch, paid
from answers
where labeler = $1 and ($2::bytea is null or request = $2) and submitted_at < $3
order by submitted_at desc, id limit $4

-- answer_by_id
select a.*, t.index, t.item, t.label, t.label_hash from answers a join tasks t on t.id = a.task where a.id = $1
