-- Market time of a batch's settlement, as its event says it: with root and digest what the log head on chain is made of.
-- Where no event is known yet it stays null, and is read from the chain when the log is written.
alter table batches add column settled_time bigint;
update batches b set settled_time = (e.data->>'at')::bigint
from chain_events e where e.signature = b.signature and e.name = 'BatchSettled' and b.state = 'settled';
