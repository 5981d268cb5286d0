#!lua name=pf1
-- A queue of calls or of runs. Each function is one transition: it happens whole or not at all.
--
-- KEYS[1] of every function is the queue's prefix P = "pf:{<queue>}:". All other keys share its hash slot:
--   c:<id>   HASH    state (w waits, r runs, d done) owner epoch score losses
--                    while it waits or runs: body; while it runs: worker; from then on: token; once done: result
--   wait     ZSET    id -> score, the µs of its first put, no two alike: a call that comes back has its old place
--   f:<w>    HASH    id -> token: what worker <w> has
--   workers  ZSET    worker -> end of its lease, ms
--   slots    HASH    worker -> how many calls it takes at once, 0: none for now
--   seen     HASH    worker -> its last beat, ms
--   done     ZSET    id -> when it finished, ms: results that nobody has acknowledged
--   m        HASH    score, token: the last ones given; beat: the last of anybody; quiet: nobody is reaped before;
--                    lost: calls given up; refused: results without a valid token
--   R:<p>    STREAM  what process <p> is told, (r result | p progress)*; also the channel that announces it
--   in:<w>   channel of worker <w>: "w" there is work, "x<token>" stop that call
-- A token numbers a hand-off, per queue, growing: who shows the latest may speak for a call. For a run it is the epoch.
-- A run is a call without owner: nobody is told of its end, and no number of losses ends it.
-- Which call comes next is known to `enqueue`, `dequeue` and `take` alone.

local KEEP_MS = 86400000      -- results that nobody acknowledges, streams that nobody reads
local MAX_LOSSES = 3
local PAGE_BYTES = 4194304    -- of one answer
local FRESH_MS = 2500         -- a worker that beat within this is woken before others
local CHUNK = 500             -- arguments for one `unpack`, whose limit is near 8000

local function micros()
  local t = redis.call('TIME')
  return t[1] * 1000000 + t[2]
end

local function millis()
  return math.floor(micros() / 1000)
end

local function digits(n)
  return string.format('%.0f', n)
end

-- the next number of a counter that never falls behind the clock, not even where its last writes were lost
local function next_number(P, counter, at_least)
  local last = tonumber(redis.call('HGET', P .. 'm', counter) or 0)
  local n = digits(math.max(last + 1, at_least))
  redis.call('HSET', P .. 'm', counter, n)
  return n
end

local function enqueue(P, id, score)
  redis.call('ZADD', P .. 'wait', score, id)
end

local function dequeue(P, id)
  redis.call('ZREM', P .. 'wait', id)
end

-- tell process `owner`; `fields` is a list of kind, payload
local function tell(P, owner, fields)
  local stream = P .. 'R:' .. owner
  for i = 1, #fields, CHUNK do
    redis.call('XADD', stream, '*', unpack(fields, i, math.min(#fields, i + CHUNK - 1)))
  end
  redis.call('PEXPIRE', stream, KEEP_MS)
  redis.call('SPUBLISH', stream, '')
end

-- wake as many workers as it takes to claim what waits, those first that answer and have most room
local function wake(P, t)
  local waiting = redis.call('ZCARD', P .. 'wait')
  if waiting == 0 then return end
  local idle = {}
  for _, w in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', t, '+inf')) do
    local seen = tonumber(redis.call('HGET', P .. 'seen', w) or 0)
    local room = tonumber(redis.call('HGET', P .. 'slots', w) or 0) - redis.call('HLEN', P .. 'f:' .. w)
    if room > 0 then
      idle[#idle + 1] = {name = w, room = room, is_fresh = t - seen < FRESH_MS}
    end
  end
  table.sort(idle, function(a, b)
    if a.is_fresh ~= b.is_fresh then return a.is_fresh end
    if a.room ~= b.room then return a.room > b.room end
    return a.name < b.name
  end)
  for _, w in ipairs(idle) do
    if waiting <= 0 then return end
    if redis.call('SPUBLISH', P .. 'in:' .. w.name, 'w') > 0 then waiting = waiting - w.room end
  end
end

local function is_live(P, w)
  return redis.call('ZSCORE', P .. 'workers', w) ~= false
end

local function has_room(P, w)
  return is_live(P, w) and redis.call('HLEN', P .. 'f:' .. w) < tonumber(redis.call('HGET', P .. 'slots', w) or 0)
end

local function hand_over(P, id, w)
  local token = next_number(P, 'token', millis())
  redis.call('HSET', P .. 'c:' .. id, 'state', 'r', 'worker', w, 'token', token)
  redis.call('HSET', P .. 'f:' .. w, id, token)
  return token
end

-- hand the first waiting calls, at most n, to a worker: a list of id, token, body
local function take(P, w, n)
  local out, bytes = {}, 0
  while n > 0 and bytes < PAGE_BYTES do
    local first = redis.call('ZPOPMIN', P .. 'wait')
    if #first == 0 then break end
    local id = first[1]
    local body = redis.call('HGET', P .. 'c:' .. id, 'body')
    if body then
      out[#out + 1] = id
      out[#out + 1] = hand_over(P, id, w)
      out[#out + 1] = body
      bytes = bytes + #body
      n = n - 1
    end
  end
  return out
end

local function finish(P, id, worker, result, t)
  redis.call('HDEL', P .. 'f:' .. worker, id)
  redis.call('HSET', P .. 'c:' .. id, 'state', 'd', 'result', result)
  redis.call('HDEL', P .. 'c:' .. id, 'body', 'worker')
  redis.call('PEXPIRE', P .. 'c:' .. id, KEEP_MS)
  redis.call('ZADD', P .. 'done', t, id)
end

-- a running call waits again at its old place; one that lost too many workers ends with an error
local function give_back(P, id, is_lost, t)
  local c = P .. 'c:' .. id
  local score, owner, worker = unpack(redis.call('HMGET', c, 'score', 'owner', 'worker'))
  if not score then return end   -- the server lost the rest of it
  if is_lost then
    local losses = redis.call('HINCRBY', c, 'losses', 1)
    if owner ~= '' and losses >= MAX_LOSSES then
      local message = 'the worker was lost ' .. losses .. ' times while it ran this call'
      local result = cmsgpack.pack({call_id = id, error = {reason = 'WORKER_LOST', message = message}})
      finish(P, id, worker, result, t)
      redis.call('HINCRBY', P .. 'm', 'lost', 1)
      tell(P, owner, {'r', result})
      return
    end
  end
  redis.call('HDEL', P .. 'f:' .. worker, id)
  redis.call('HSET', c, 'state', 'w')
  redis.call('HDEL', c, 'worker', 'token')
  enqueue(P, id, score)
end

local function remove_worker(P, w, is_lost, t)
  for _, id in ipairs(redis.call('HKEYS', P .. 'f:' .. w)) do give_back(P, id, is_lost, t) end
  redis.call('DEL', P .. 'f:' .. w)
  redis.call('ZREM', P .. 'workers', w)
  redis.call('HDEL', P .. 'slots', w)
  redis.call('HDEL', P .. 'seen', w)
end

local function is_current(P, id, token)
  local h = redis.call('HMGET', P .. 'c:' .. id, 'state', 'token')
  return h[1] == 'r' and h[2] == token
end

-- ARGV: owner, worker, (id, epoch, body)*. A new call waits, or goes to `worker` where that is named and has room.
-- A known one is re-pointed to this owner unless a later epoch owns it; if it is done, its result is told again.
-- Result: (id, token)* of those that `worker` has now.
local function put(keys, a)
  local P, owner, to, t = keys[1], a[1], a[2], micros()
  local theirs, again, has_new = {}, {}, false
  for i = 3, #a, 3 do
    local id, epoch, body = a[i], a[i + 1], a[i + 2]
    local c = P .. 'c:' .. id
    local state, known_epoch, result = unpack(redis.call('HMGET', c, 'state', 'epoch', 'result'))
    if not state then
      local score = next_number(P, 'score', t)
      redis.call('HSET', c, 'state', 'w', 'owner', owner, 'epoch', epoch, 'score', score, 'losses', 0, 'body', body)
      if to ~= '' and has_room(P, to) then
        hand_over(P, id, to)
      else
        enqueue(P, id, score)
        has_new = true
      end
    elseif tonumber(epoch) >= tonumber(known_epoch) then
      redis.call('HSET', c, 'owner', owner, 'epoch', epoch)
      if state == 'd' then
        again[#again + 1] = 'r'
        again[#again + 1] = result
      end
    end
    local token = to ~= '' and redis.call('HGET', P .. 'f:' .. to, id)
    if token then
      theirs[#theirs + 1] = id
      theirs[#theirs + 1] = token
    end
  end
  if #again > 0 then tell(P, owner, again) end
  if has_new then wake(P, math.floor(t / 1000)) end
  return theirs
end

-- ARGV: worker, n. Result: (id, token, body)*, or nil where the worker has no lease and must beat first.
local function claim(keys, a)
  if not is_live(keys[1], a[1]) then return false end
  return take(keys[1], a[1], tonumber(a[2]))
end

-- ARGV: worker, (id, token)*. Result: (id, token, body)* of those that it still has; the first 4 MiB.
local function fetch(keys, a)
  local P, out, bytes = keys[1], {}, 0
  for i = 2, #a, 2 do
    if bytes >= PAGE_BYTES then break end
    if redis.call('HGET', P .. 'f:' .. a[1], a[i]) == a[i + 1] then
      local body = redis.call('HGET', P .. 'c:' .. a[i], 'body')
      out[#out + 1] = a[i]
      out[#out + 1] = a[i + 1]
      out[#out + 1] = body
      bytes = bytes + #body
    end
  end
  return out
end

-- ARGV: worker, n, (id, token, result)*. Records each result once, if its token is the latest; a run just ends.
-- Result: at most n new calls, as `claim`.
local function done(keys, a)
  local P, t, told = keys[1], millis(), {}
  for i = 3, #a, 3 do
    local id, token, result = a[i], a[i + 1], a[i + 2]
    local state, latest, owner, worker = unpack(redis.call('HMGET', P .. 'c:' .. id, 'state', 'token', 'owner', 'worker'))
    if state == 'r' and latest == token and owner == '' then
      redis.call('HDEL', P .. 'f:' .. worker, id)
      redis.call('DEL', P .. 'c:' .. id)
    elseif state == 'r' and latest == token then
      finish(P, id, worker, result, t)
      local fields = told[owner] or {}
      told[owner] = fields
      fields[#fields + 1] = 'r'
      fields[#fields + 1] = result
    elseif latest ~= token then
      redis.call('HINCRBY', P .. 'm', 'refused', 1)
    end
  end
  for owner, fields in pairs(told) do tell(P, owner, fields) end
  return claim(keys, {a[1], a[2]})
end

-- ARGV: (id, token, payload)*. Tells the owners of calls that still run under these tokens.
local function progress(keys, a)
  for i = 1, #a, 3 do
    if is_current(keys[1], a[i], a[i + 1]) then
      tell(keys[1], redis.call('HGET', keys[1] .. 'c:' .. a[i], 'owner'), {'p', a[i + 2]})
    end
  end
end

-- ARGV: (id, token)*. Calls that their worker does not want to run wait again; no loss.
local function back(keys, a)
  local t = millis()
  for i = 1, #a, 2 do
    if is_current(keys[1], a[i], a[i + 1]) then give_back(keys[1], a[i], false, t) end
  end
  wake(keys[1], t)
end

-- Dead workers' calls wait again, but not right after a time in which nobody could beat.
local function reap(P, w, t, grace)
  local is_quiet = t < tonumber(redis.call('HGET', P .. 'm', 'quiet') or 0)
  local all = redis.call('ZRANGE', P .. 'workers', 0, -1, 'WITHSCORES')
  for i = 1, #all, 2 do
    if all[i] ~= w then
      if tonumber(all[i + 1]) < t then
        if not is_quiet then remove_worker(P, all[i], true, t) end
      elseif redis.call('PUBSUB', 'SHARDNUMSUB', P .. 'in:' .. all[i])[2] == 0 then
        redis.call('ZADD', P .. 'workers', 'XX', 'LT', t + grace, all[i])   -- its connection is gone
      end
    end
  end
end

-- ARGV: worker, slots, lease, beat, grace (ms). Renews the lease, reaps, wakes.
-- Result: the time in ms, then (id, token)* of what this worker should be running.
local function beat(keys, a)
  local P, w, t, lease = keys[1], a[1], millis(), tonumber(a[3])
  local last = tonumber(redis.call('HGET', P .. 'm', 'beat') or 0)
  if t - last > 2 * tonumber(a[4]) then redis.call('HSET', P .. 'm', 'quiet', t + lease) end
  redis.call('HSET', P .. 'm', 'beat', t)
  redis.call('ZADD', P .. 'workers', t + lease, w)
  redis.call('HSET', P .. 'slots', w, a[2])
  redis.call('HSET', P .. 'seen', w, t)
  reap(P, w, t, tonumber(a[5]))
  redis.call('ZREMRANGEBYSCORE', P .. 'done', '-inf', t - KEEP_MS)
  wake(P, t)
  local mine = redis.call('HGETALL', P .. 'f:' .. w)
  table.insert(mine, 1, digits(t))
  return mine
end

-- ARGV: worker. It goes: what it had waits again at once; no loss.
local function leave(keys, a)
  local t = millis()
  remove_worker(keys[1], a[1], false, t)
  wake(keys[1], t)
end

-- ARGV: id*. Forgets calls; a worker that runs one is told to stop, and its result will be refused.
local function cancel(keys, a)
  local P = keys[1]
  for _, id in ipairs(a) do
    local state, worker, token = unpack(redis.call('HMGET', P .. 'c:' .. id, 'state', 'worker', 'token'))
    if state == 'w' then
      dequeue(P, id)
    elseif state == 'r' then
      redis.call('HDEL', P .. 'f:' .. worker, id)
      redis.call('SPUBLISH', P .. 'in:' .. worker, 'x' .. token)
    elseif state == 'd' then
      redis.call('ZREM', P .. 'done', id)
    end
    redis.call('DEL', P .. 'c:' .. id)
  end
end

-- ARGV: id*. Forgets finished calls.
local function ack(keys, a)
  for _, id in ipairs(a) do
    if redis.call('HGET', keys[1] .. 'c:' .. id, 'state') == 'd' then
      redis.call('DEL', keys[1] .. 'c:' .. id)
      redis.call('ZREM', keys[1] .. 'done', id)
    end
  end
end

-- ARGV: process, id of the last entry that it has. Result: later entries as XRANGE gives them, about 4 MiB at most.
local function replies(keys, a)
  local stream, last, out, bytes = keys[1] .. 'R:' .. a[1], a[2], {}, 0
  redis.call('XTRIM', stream, 'MINID', last)
  while bytes < PAGE_BYTES do
    local some = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 16)
    if #some == 0 then break end
    for _, entry in ipairs(some) do
      if bytes >= PAGE_BYTES then break end
      out[#out + 1] = entry
      last = entry[1]
      for _, part in ipairs(entry[2]) do bytes = bytes + #part end
    end
  end
  return out
end

-- Result: live workers that take calls, calls that wait (or lie with dead workers), age of the oldest of them in ms.
local function depth(keys)
  local P, t = keys[1], micros()
  local t_ms = digits(math.floor(t / 1000))
  local waiting, oldest = redis.call('ZCARD', P .. 'wait'), t
  local first = redis.call('ZRANGE', P .. 'wait', 0, 0, 'WITHSCORES')
  if first[2] then oldest = tonumber(first[2]) end
  for _, w in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', '-inf', '(' .. t_ms)) do
    for _, id in ipairs(redis.call('HKEYS', P .. 'f:' .. w)) do
      waiting = waiting + 1
      oldest = math.min(oldest, tonumber(redis.call('HGET', P .. 'c:' .. id, 'score') or oldest))
    end
  end
  local serving = 0
  for _, w in ipairs(redis.call('ZRANGEBYSCORE', P .. 'workers', t_ms, '+inf')) do
    if tonumber(redis.call('HGET', P .. 'slots', w) or 0) > 0 then serving = serving + 1 end
  end
  return {serving, waiting, math.max(0, math.floor((t - oldest) / 1000))}
end

redis.register_function('pf1_put', put)
redis.register_function('pf1_claim', claim)
redis.register_function{function_name = 'pf1_fetch', callback = fetch, flags = {'no-writes'}}
redis.register_function('pf1_done', done)
redis.register_function('pf1_progress', progress)
redis.register_function{function_name = 'pf1_depth', callback = depth, flags = {'no-writes'}}
-- These free memory or keep leases alive, so they go on where the server has none left.
redis.register_function{function_name = 'pf1_back', callback = back, flags = {'allow-oom'}}
redis.register_function{function_name = 'pf1_beat', callback = beat, flags = {'allow-oom'}}
redis.register_function{function_name = 'pf1_leave', callback = leave, flags = {'allow-oom'}}
redis.register_function{function_name = 'pf1_cancel', callback = cancel, flags = {'allow-oom'}}
redis.register_function{function_name = 'pf1_ack', callback = ack, flags = {'allow-oom'}}
redis.register_function{function_name = 'pf1_replies', callback = replies, flags = {'allow-oom'}}
