#!lua name=pf1_bundles
-- Which bundle all servers serve. One call is the whole of a publish: nobody ever meets a digest without its bundle.
--
-- KEYS: 1 current HASH (also the channel on which a new digest is announced), 2 bundle STRING, 3 needed ZSET
--
-- pf1_bundle_publish  ARGV: digest, digest that is to be current before ('' for none, '*' for any), packed bundle
--                     result: the digest that was current; the same where it is already, and then nothing changes
-- A refusal is the error reply `CONFLICT <current digest>`; it writes nothing.

local function publish(keys, args)
  local before = redis.call('HGET', keys[1], 'digest') or ''
  if before == args[1] then
    return before
  end
  if args[2] ~= '*' and args[2] ~= before then
    return redis.error_reply('CONFLICT ' .. before)
  end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  redis.call('SET', keys[2], args[3])
  redis.call('ZADD', keys[3], now, args[1])
  if before ~= '' then
    redis.call('ZADD', keys[3], now, before)
  end
  redis.call('HSET', keys[1], 'digest', args[1], 'previous', before, 'at_ms', now)
  redis.call('SPUBLISH', keys[1], args[1])
  return before
end

redis.register_function('pf1_bundle_publish', publish)
