-- Evidence against validators who sign twice, and the slashes that the chain knows.

-- evidence_keep
-- Two of a validator under one number are enough: no more are kept, whatever is sent.
insert into stray_signatures (request, batch, panel_round, validator, digest, signature)
select $1::bytea, $2::bigint, $3::bigint, $4::bytea, $5::bytea, $6::bytea
where (select count(*) from stray_signatures
       where request = $1 and batch = $2 and panel_round = $3 and validator = $4) < 2
on conflict do nothing
returning 1

-- evidence_pairs
-- Two signatures of one validator under one number: a stray one with that of the proposal, or with another stray one.
-- Those longest not looked at; one that nothing can be taken for now waits a minute.
select s.request, s.batch, s.panel_round, s.validator, q.domain, s.digest, s.signature,
       o.digest as other_digest, o.signature as other_signature
from stray_signatures s join requests q on q.address = s.request
cross join lateral (
    select * from (
        select b.digest, g.signature from batch_signatures g join batches b using (request, batch)
        where g.request = s.request and g.batch = s.batch and g.panel_round = s.panel_round and g.validator = s.validator
          and g.signature is not null
        union all
        select t.digest, t.signature from stray_signatures t
        where t.request = s.request and t.batch = s.batch and t.panel_round = s.panel_round
          and t.validator = s.validator
    ) both_kinds where digest <> s.digest order by digest limit 1
) o
where s.slashed_at is null and s.tried_at < clock_timestamp() - interval '1 minute'
order by s.tried_at
limit $1

-- evidence_open
-- What is kept and not slashed yet.
select request, batch, panel_round, validator, digest from stray_signatures where slashed_at is null
order by received_at

-- evidence_tried
update stray_signatures set tried_at = clock_timestamp()
where request = $1 and batch = $2 and panel_round = $3 and validator = $4 and slashed_at is null

-- evidence_done
update stray_signatures set slashed_at = clock_timestamp()
where request = $1 and batch = $2 and panel_round = $3 and validator = $4 and slashed_at is null

-- dispute_vote_keep
-- A vote of a seat; of two that differ both, of more no more. Whether now both are there; no row where it is not new.
insert into dispute_votes (dispute, panel_round, validator, request, outcome, signature) values ($1, $2, $3, $4, $5, $6)
on conflict (dispute, panel_round, validator) do update set other_signature = excluded.signature
where dispute_votes.outcome <> excluded.outcome and dispute_votes.other_signature is null
returning other_signature is not null as twice

-- dispute_vote_pairs
-- Two votes of one seat that differ. In the order of evidence_pairs.
select v.dispute, v.panel_round, v.validator, q.domain, v.outcome, v.signature, v.other_signature
from dispute_votes v join requests q on q.address = v.request
where v.other_signature is not null and v.slashed_at is null
  and v.tried_at < clock_timestamp() - interval '1 minute'
order by v.tried_at
limit $1

-- dispute_vote_tried
update dispute_votes set tried_at = clock_timestamp()
where dispute = $1 and panel_round = $2 and validator = $3 and slashed_at is null

-- dispute_vote_done
update dispute_votes set slashed_at = clock_timestamp()
where dispute = $1 and panel_round = $2 and validator = $3 and slashed_at is null

-- slashes_of
-- The latest slashes of a wallet, as the program's events had them.
select e.signature, e.slot, e.data, e.received_at from chain_events e
where e.name = 'Slashed' and e.data ->> 'wallet' = $1
order by e.slot desc, e.index desc
limit $2
