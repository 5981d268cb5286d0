#!lua name=pf1_executions
-- The record of one run: its head, its steps, its events. One call is one transition; what is refused writes nothing,
-- and a call that is sent again because its reply was lost changes nothing more.
--
-- KEYS of every function: 1 head HASH, 2 steps HASH, 3 events STREAM (also the sharded channel of the run)
-- Refusals are error replies whose first word is the code: GONE, FENCED <epoch>, ENDED <status>, SEQ <sequence>.
-- `now` is Redis time in ms; a dictionary is a flat list of names and values.
--
-- pf1_run_create  ARGV: first event, head dictionary...               result: {1 made | 0 was there, now}
-- pf1_run_accept  ARGV: none                                          result: 1, or 0 where the run is gone
-- pf1_run_open    ARGV: epoch, owner                                  result: {head, steps, now}
-- pf1_run_commit  ARGV: epoch, sequence before, ms to keep a run that has ended, n, head dictionary of n entries..., n,
--                       steps dictionary of n..., events...
--                                                                     result: {sequence, signal}
-- pf1_run_signal  ARGV: signal                                        result: {status, owner}
-- pf1_run_read    ARGV: none                                          result: {head, steps}, empty where there is no run

local UNACCEPTED_MS = 3600000 -- a run that nobody acknowledged or opened is forgotten after this
local CHUNK = 4000            -- Lua's `unpack` stops near 8,000 values
local TERMINAL = { COMPLETED = true, FAILED = true, CANCELLED = true }

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

local function write(key, values, first, last)
  for from = first, last, CHUNK do
    redis.call('HSET', key, unpack(values, from, math.min(last, from + CHUNK - 1)))
  end
end

local function create(keys, args)
  if redis.call('EXISTS', keys[1]) == 1 then
    return { 0, now_ms() }
  end
  redis.call('HSET', keys[1], 'status', 'QUEUED', 'seq', 1, 'first', 1, 'epoch', 0, 'opens', 0)
  write(keys[1], args, 2, #args)
  redis.call('XADD', keys[3], '1-0', 'd', args[1])
  redis.call('PEXPIRE', keys[1], UNACCEPTED_MS)
  redis.call('PEXPIRE', keys[3], UNACCEPTED_MS)
  return { 1, now_ms() }
end

local function accept(keys)
  if redis.call('EXISTS', keys[1]) == 0 then
    return 0
  end
  if not TERMINAL[redis.call('HGET', keys[1], 'status')] then
    for i = 1, 3 do
      redis.call('PERSIST', keys[i])
    end
  end
  return 1
end

local function open(keys, args)
  local head = redis.call('HMGET', keys[1], 'status', 'epoch', 'owner')
  if not head[1] then
    return redis.error_reply('GONE')
  end
  if TERMINAL[head[1]] then
    return redis.error_reply('ENDED ' .. head[1])
  end
  local is_repeated = args[1] == head[2] and args[2] == head[3]
  if tonumber(args[1]) <= tonumber(head[2]) and not is_repeated then
    return redis.error_reply('FENCED ' .. head[2])
  end
  if not is_repeated then
    redis.call('HSET', keys[1], 'epoch', args[1], 'owner', args[2])
    redis.call('HINCRBY', keys[1], 'opens', 1)
    accept(keys)
  end
  return { redis.call('HGETALL', keys[1]), redis.call('HGETALL', keys[2]), now_ms() }
end

local function commit(keys, args)
  local head = redis.call('HMGET', keys[1], 'status', 'epoch', 'seq', 'sig')
  if not head[1] then
    return redis.error_reply('GONE')
  end
  if head[2] ~= args[1] then
    return redis.error_reply('FENCED ' .. head[2])
  end
  local head_first = 5
  local head_last = head_first + 2 * tonumber(args[4]) - 1
  local steps_first = head_last + 2
  local steps_last = steps_first + 2 * tonumber(args[head_last + 1]) - 1
  local events = #args - steps_last
  local sequence = tonumber(head[3])
  local signal = head[4] or ''
  if events > 0 and sequence == tonumber(args[2]) + events then
    -- Under one epoch there is one writer, and it writes in order: this is the transition whose reply was lost.
    return { sequence, signal }
  end
  if TERMINAL[head[1]] then
    return redis.error_reply('ENDED ' .. head[1])
  end
  if sequence ~= tonumber(args[2]) then
    return redis.error_reply('SEQ ' .. head[3])
  end
  write(keys[1], args, head_first, head_last)
  write(keys[2], args, steps_first, steps_last)
  for i = steps_last + 1, #args do
    sequence = sequence + 1
    redis.call('XADD', keys[3], sequence .. '-0', 'd', args[i])
  end
  redis.call('HSET', keys[1], 'seq', sequence, 'opens', 0)
  if TERMINAL[redis.call('HGET', keys[1], 'status')] then
    for i = 1, 3 do
      redis.call('PEXPIRE', keys[i], args[3])
    end
  end
  if events > 0 then
    redis.call('SPUBLISH', keys[3], sequence)
  end
  return { sequence, signal }
end

local function signal(keys, args)
  local head = redis.call('HMGET', keys[1], 'status', 'owner')
  if not head[1] then
    return redis.error_reply('GONE')
  end
  if not TERMINAL[head[1]] then
    redis.call('HSET', keys[1], 'sig', args[1])
  end
  return { head[1], head[2] or '' }
end

local function read(keys)
  local head = redis.call('HGETALL', keys[1])
  if #head == 0 then
    return { head, {} } -- an id that somebody made up may lead to keys of another kind
  end
  return { head, redis.call('HGETALL', keys[2]) }
end

redis.register_function('pf1_run_create', create)
redis.register_function('pf1_run_accept', accept)
redis.register_function('pf1_run_open', open)
redis.register_function('pf1_run_commit', commit)
redis.register_function('pf1_run_signal', signal)
redis.register_function({ function_name = 'pf1_run_read', callback = read, flags = { 'no-writes' } })
