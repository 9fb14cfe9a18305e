-- A task that was taken cannot run now: it waits again, behind the others of its key.
-- KEYS: the hash of waiting tasks, the ring of keys, the hash of taken tasks. ARGV: stream, who took it, the prefix.
local taken = redis.call('HGET', KEYS[3], ARGV[1])
local known = taken and cjson.decode(taken)
if not known or known.worker ~= ARGV[2] then
    return 0
end
redis.call('HDEL', KEYS[3], ARGV[1])
redis.call('HSET', KEYS[1], ARGV[1], known.task)
if redis.call('RPUSH', ARGV[3] .. known.key, ARGV[1]) == 1 then
    redis.call('RPUSH', KEYS[2], known.key)
end
return 1
