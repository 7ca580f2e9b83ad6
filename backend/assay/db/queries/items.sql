-- Items: uploaded, bound to requests, dropped. Everybody locks in the order requests, items, uploads.

-- item_begin
-- An item that is about to be written, for $8 seconds; one that is there stays as long. Whether a posted request needs it.
insert into items (cid, media_type, size, width, height, phash, uploaded_by, stored, expires_at)
values ($1, $2, $3, $4, $5, $6, $7, false, now() + make_interval(secs => $8))
on conflict (cid) do update set expires_at = case when items.expires_at is null then null
                                                  else greatest(items.expires_at, excluded.expires_at) end,
                                stored = items.stored and coalesce(items.expires_at > now(), true)
returning expires_at is null as needed

-- upload_insert
insert into uploads (cid, wallet, size) values ($1, $2, $3) on conflict do nothing

-- upload_sum
select bytes, items from upload_sums where wallet = $1

-- item_stored
update items set stored = true where cid = $1

-- items_known
select cid, media_type, size from items
where cid = any($1::text[]) and stored and (expires_at is null or expires_at > now())

-- items_hold
-- These stay for $2 seconds at least. One row an item that is there.
update items set expires_at = greatest(expires_at, now() + make_interval(secs => $2))
where expires_at is not null and cid in (
    select cid from items where cid = any($1::text[]) and stored and (expires_at is null or expires_at > now())
    order by cid for update)

-- items_bind
-- Different items that a posted request needs; whether all of them are there.
select bind_items($1)

-- item_by_cid
select media_type from items where cid = $1

-- answer_by_content
select content from answers where content_hash = $1 limit 1

-- items_expired
-- Locked until their bytes are gone: who uploads one of them meanwhile waits, and writes it anew.
select cid from items where expires_at < now() order by expires_at limit $1 for update skip locked

-- items_drop
delete from items where cid = any($1::text[])

-- upload_sums_sweep
delete from upload_sums where items = 0

-- drafts_expired
select address from requests where state = 'draft' and drafted_at < now() - make_interval(secs => $1)
order by drafted_at limit $2

-- draft_drop
delete from requests where address = $1 and state = 'draft' and drafted_at < now() - make_interval(secs => $2)

-- draft_renew
-- The CID of the specification that a draft keeps.
update requests set drafted_at = now() where address = $1 and state = 'draft' returning spec_cid
