#!lua name=pf1_bundles
-- Which bundle all servers serve, and which are stored. One call is the whole of a change: nobody ever meets a digest
-- without its bundle.
--
-- KEYS: 1 current HASH (also the channel on which a new digest is announced), 2 the prefix of all bundle STRINGs,
--       3 needed ZSET
--
-- pf1_bundle_publish  ARGV: digest, digest that is to be current before ('' for none, '*' for any), packed bundle
--                     result: the digest that was current; where it is this one already, it is announced again
-- pf1_bundle_keep     ARGV: digest, now, packed bundle
--                     result: 1 stored, 0 was there
-- pf1_bundle_sweep    ARGV: now, oldest that stays, digests that are needed...
--                     result: how many were forgotten; what is current is needed too
-- A refusal is the error reply `CONFLICT <current digest>`; it writes nothing. `now` and `oldest` are ms.

local function publish(keys, args)
  local before = redis.call('HGET', keys[1], 'digest') or ''
  local is_new = before ~= args[1]
  if is_new and args[2] ~= '*' and args[2] ~= before then
    return redis.error_reply('CONFLICT ' .. before)
  end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('SET', keys[2] .. args[1], args[3])
  redis.call('ZADD', keys[3], now, args[1])
  if is_new then
    if before ~= '' then
      redis.call('ZADD', keys[3], now, before)
    end
    redis.call('HSET', keys[1], 'digest', args[1], 'previous', before, 'at_ms', now)
  end
  redis.call('SPUBLISH', keys[1], args[1])
  return before
end

local function keep(keys, args)
  local made = redis.call('SET', keys[2] .. args[1], args[3], 'NX')
  redis.call('ZADD', keys[3], args[2], args[1])
  return made and 1 or 0
end

local function sweep(keys, args)
  local current = redis.call('HGET', keys[1], 'digest')
  if current then
    redis.call('ZADD', keys[3], 'XX', args[1], current)
  end
  for i = 3, #args do
    redis.call('ZADD', keys[3], 'XX', args[1], args[i])
  end
  local old = redis.call('ZRANGE', keys[3], '-inf', args[2], 'BYSCORE')
  for _, digest in ipairs(old) do
    redis.call('UNLINK', keys[2] .. digest)
    redis.call('ZREM', keys[3], digest)
  end
  return #old
end

redis.register_function('pf1_bundle_publish', publish)
redis.register_function('pf1_bundle_keep', keep)
redis.register_function('pf1_bundle_sweep', sweep)
