-- An answer that is right and yet not paid (agreement paid by information): its verdict stays true, and is no strike.
alter table answers add column unpaid boolean not null default false check (not unpaid or verdict is true);
