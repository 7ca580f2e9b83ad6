-- Disputes of rejections: what a proof is made of, and which disputes there are.

-- entries_of_answers
-- What batch $2 of request $1 says of each answer, in the order of its entries.
select id, task, labeler, verdict, unpaid, confidence, evidence from answers where request = $1 and batch = $2 order by id

-- entries_of_records
-- And of each record.
select id, label_hash, confidence from tasks where request = $1 and batch = $2 order by id

-- batch_leaves
-- What the log on chain has of the batches of request $1 from $2 on, before $3.
select batch, root, digest, settled_time from batches
where request = $1 and batch >= $2 and batch < $3 and state = 'settled' order by batch

-- disputes_opened
-- All disputes over answers of this market (base58), with the wallet of the labeler.
select distinct e.data ->> 'dispute' as dispute, a.id, a.request, a.labeler
from chain_events e join answers a on a.id = decode(e.data ->> 'answer_id', 'hex')
where e.data ? 'dispute' and e.name = 'DisputeOpened'
