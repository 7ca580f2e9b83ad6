-- Sign-in.

-- challenge_insert
insert into challenges (nonce, wallet, message, expires_at) values ($1, $2, $3, $4)

-- challenge_take
-- Used up by the first who asks, right or wrong.
delete from challenges where nonce = $1 returning wallet, message, expires_at

-- session_insert
insert into sessions (token_hash, wallet, expires_at) values ($1, $2, $3)

-- session_wallet
select wallet, expires_at from sessions where token_hash = $1 and expires_at > now()

-- session_delete
delete from sessions where token_hash = $1

-- sessions_sweep
with old as (delete from challenges where expires_at < now())
delete from sessions where expires_at < now()
