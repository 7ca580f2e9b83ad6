-- What was uploaded and no posted request needs yet: a wallet may have so much of it, and for so long (settings). A draft's
-- specification is an item too. Everything from before stays.
alter table items
    add column stored boolean not null default true,    -- false: its bytes are being written
    add column expires_at timestamptz;                  -- null: a posted request needs it
create index items_by_expiry on items (expires_at) where expires_at is not null;
insert into items (cid, media_type, size)
select distinct on (spec_cid) spec_cid, 'application/json', octet_length(spec_text) from requests
on conflict (cid) do nothing;

create table uploads (
    cid    text not null references items on delete cascade,
    wallet key32 not null,
    size   bigint not null check (size >= 0),
    primary key (cid, wallet)
);

-- Their sum by wallet. Whoever adds to it waits for whoever did before, so two at once cannot pass a limit together.
create table upload_sums (
    wallet key32 primary key,
    bytes  bigint not null,
    items  bigint not null
);

create function count_uploads() returns trigger language plpgsql as $$
begin
    if tg_op = 'INSERT' then
        insert into upload_sums (wallet, bytes, items) select wallet, sum(size), count(*) from changed group by wallet
        on conflict (wallet) do update
        set bytes = upload_sums.bytes + excluded.bytes, items = upload_sums.items + excluded.items;
    else
        -- In order of wallet, so that nobody deadlocks.
        perform 1 from upload_sums where wallet in (select wallet from changed) order by wallet for update;
        update upload_sums s set bytes = s.bytes - c.bytes, items = s.items - c.items
        from (select wallet, sum(size) as bytes, count(*) as items from changed group by wallet) c
        where s.wallet = c.wallet;
    end if;
    return null;
end $$;
create trigger uploads_counted after insert on uploads
    referencing new table as changed for each statement execute function count_uploads();
create trigger uploads_discounted after delete on uploads
    referencing old table as changed for each statement execute function count_uploads();

-- A posted request needs these items from now on; false, and nothing changes, where one of them is not in the store.
create function bind_items(cids text[]) returns boolean language plpgsql as $$
begin
    perform 1 from items where cid = any(cids) order by cid for update;
    if (select count(*) from items where cid = any(cids) and stored) < cardinality(cids) then
        return false;
    end if;
    update items set expires_at = null where cid = any(cids) and expires_at is not null;
    delete from uploads where cid = any(cids);
    return true;
end $$;

-- A file that is an answer is kept as long as the answer.
create function keep_file() returns trigger language plpgsql as $$
begin
    perform bind_items(array[new.content #>> '{value,cid}']);
    return null;
end $$;
create trigger answers_keep_file after insert on answers for each row
    when (new.content #>> '{value,cid}' is not null) execute function keep_file();

-- A draft that is not posted in time is dropped.
alter table requests add column drafted_at timestamptz not null default now();
create index requests_drafted on requests (drafted_at) where state = 'draft';

-- Bytes that an answer and a dropped item share are made anew from the answer.
create index answers_by_content on answers (content_hash);
