-- Queue a task whose stream its process gives away, unless too many wait.
-- KEYS: the stream's hash, the hash of waiting tasks, the key's list, the ring of keys.
-- ARGV: stream, key, task, how many may wait, the name of nobody in particular.
-- Returns how many waited before it, or -1 where too many do, or -2 where the stream is not known or has ended.
local state = redis.call('HMGET', KEYS[1], 'subject', 'outcome')
if not state[1] or state[2] then
    return -2
end
local waiting = redis.call('HLEN', KEYS[2])
if waiting >= tonumber(ARGV[4]) then
    return -1
end
redis.call('HSET', KEYS[1], 'producer', ARGV[5])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
if redis.call('RPUSH', KEYS[3], ARGV[1]) == 1 then
    redis.call('RPUSH', KEYS[4], ARGV[2])
end
return waiting
